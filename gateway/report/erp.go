package report

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxERPs bounds the connections whose ERP systems a check asks for: each costs two requests.
const maxERPs = 20

// erpStep asks whether the ERP systems are alive behind the connections that the app may use, and when they last
// synchronised. Callers get neither.
func (c *check) erpStep(ctx context.Context) (string, *trouble) {
	var said, failed []string
	asked := 0
	for _, connection := range c.connections {
		if !c.admits(connection.ID) {
			continue
		}
		if asked++; asked > maxERPs {
			said = append(said, fmt.Sprintf("no more than %d were asked", maxERPs))
			break
		}
		state, well, err := c.connectionHealth(ctx, connection.ID)
		if err != nil {
			return "", &trouble{fmt.Sprintf("connection %d cannot be asked about: %s", connection.ID, err), "the agent itself answers; try again, then look at the connection in SuperOffice"}
		}
		text := fmt.Sprintf("%d %s: %s", connection.ID, superid.Clean(connection.Name), state)
		if said = append(said, text); !well {
			failed = append(failed, text)
		}
	}
	switch {
	case len(failed) > 0:
		return "", &trouble{strings.Join(said, "; "), "look at the ERP system and its connector, and at the connection in SuperOffice's settings"}
	case len(said) == 0:
		return "the app may use none of the tenant's connections", nil
	}
	return strings.Join(said, "; "), nil
}

// connectionHealth says in words how a connection is. One that is not active is well: it is meant to carry nothing.
func (c *check) connectionHealth(ctx context.Context, connection int32) (state string, well bool, err error) {
	body, err := c.agentQuestion(ctx, superoffice.ConnectionSummaryOperation, superoffice.ConnectionSummaryBody(connection))
	if err != nil {
		return "", false, err
	}
	summary, known, err := superoffice.ParseConnectionSummary(body)
	switch {
	case err != nil:
		return "", false, err
	case !known:
		return "SuperOffice knows no such connection", false, nil
	case summary.Deleted:
		return "deleted", true, nil
	}
	last := "never synchronised"
	if !summary.LastSync.IsZero() {
		last = "last synchronised " + summary.LastSync.Format("2006-01-02 15:04:05") + " by SuperOffice's clock"
	}
	if !summary.Active {
		return "not active, " + last, true, nil
	}
	if body, err = c.agentQuestion(ctx, superoffice.TestConnectionOperation, superoffice.TestConnectionBody(connection)); err != nil {
		return "", false, err
	}
	reached, err := superoffice.ParseTestConnection(body)
	switch {
	case err != nil:
		return "", false, err
	case !reached:
		return "the ERP system does not answer, " + last, false, nil
	}
	return "the ERP system answers, " + last, true, nil
}

// agentQuestion asks the agent something that moves no data.
func (c *check) agentQuestion(ctx context.Context, operation, document string) ([]byte, error) {
	status, body, err := c.askWith(ctx, http.MethodPost, "/v1/Agents/ErpSync/"+operation, document)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answered HTTP %d", operation, status)
	}
	return body, err
}
