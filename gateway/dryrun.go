package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// dryRun is the answer to a call with ErpSync-Dry-Run: what would have been done.
type dryRun struct {
	DryRun     bool               `json:"dry_run"`
	Decision   string             `json:"decision"`
	Note       string             `json:"note"`
	App        string             `json:"app"`
	Tenant     superoffice.Tenant `json:"tenant,omitempty"`
	Operation  string             `json:"operation"`
	CallAs     auth.CallAs        `json:"call_as"`
	Principal  string             `json:"principal"`
	Connection *int32             `json:"connection_id,omitempty"` // nil for an operation without arguments
	// ConnectionActive is whether SuperOffice has the connection and it is active; nil is not known.
	ConnectionActive *bool  `json:"connection_active,omitempty"`
	Keys             int    `json:"keys"`
	KeysDigest       string `json:"keys_digest"`
	ResyncAll        bool   `json:"resync_all"`
}

const (
	noteRights     = "Rights only; SuperOffice was not asked."
	noteAsked      = "Rights, and whether the connection exists and is active. Nothing was run."
	noteNoAnswer   = "Rights only; SuperOffice did not say whether the connection exists and is active."
	noteNothing    = "Rights only; the call names no connection that SuperOffice could be asked about."
	dryRunTimeout  = 10 * time.Second
	maxConnections = 1 << 20 // bytes of an answer
)

// writeDryRun answers a dry run. Nothing is run, and SuperOffice is asked only if the caller wants that.
func (x *exchange) writeDryRun(ctx context.Context, d *Decision) *auth.Refusal {
	arguments := &d.order.Arguments
	answer := dryRun{
		DryRun: true, Decision: "allowed", Note: noteRights, App: d.app.Name, Tenant: d.Principal.Tenant, Operation: d.order.Operation.String(), CallAs: d.app.CallAs, Principal: d.Principal.ID,
		Keys: len(arguments.Keys) + len(arguments.ExternalKeys), KeysDigest: x.record.KeysDigest(), ResyncAll: arguments.Everything,
	}
	if d.order.Operation.Arguments() != superoffice.NoArguments {
		answer.Connection = &arguments.Connection
	}
	if d.order.Ask {
		if refusal := d.askConnection(ctx, &answer); refusal != nil {
			return refusal
		}
	}
	x.record.Decision, x.record.Status = "dry_run", http.StatusOK
	x.w.Header()["Cache-Control"] = noStore
	return WriteJSON(x.w, answer)
}

// askConnection looks in SuperOffice whether the connection exists and is active, with the credential that the call would
// be made with. A credential that cannot be had is a refusal, as it would be of the call; no answer is none.
func (d *Decision) askConnection(ctx context.Context, answer *dryRun) *auth.Refusal {
	if answer.Connection == nil || *answer.Connection <= 0 {
		answer.Note = noteNothing
		return nil
	}
	c := &upstreamCall{Decision: d, g: d.gateway, api: d.API}
	if refusal := c.prepare(ctx); refusal != nil {
		return d.gateway.offerApproval(refusal, d.app, d.Principal.Tenant)
	}
	active, err := c.connectionActive(ctx, *answer.Connection)
	if err != nil {
		d.gateway.platform.Logger.Warn("a dry run could not ask for the connection", zap.String("request_id", d.record.RequestID), zap.Error(err))
		answer.Note = noteNoAnswer
		return nil
	}
	answer.Note, answer.ConnectionActive = noteAsked, &active
	return nil
}

// connectionActive reports whether the archive of connections, which is not restricted, has the connection as active.
func (c *upstreamCall) connectionActive(ctx context.Context, connection int32) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, dryRunTimeout)
	defer cancel()
	c.g.Charge(c.app, c.Principal.Tenant)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+superoffice.ConnectionArchive(connection), http.NoBody)
	if err != nil {
		return false, err
	}
	req.Header["Accept"], req.Header["User-Agent"] = []string{"application/json"}, userAgent
	c.with.Write(req.Header, c.app.AppToken())
	resp, err := c.g.Client().Do(req)
	if err != nil {
		if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
			err = withURL.Err
		}
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("archive/ErpConnection answered HTTP %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxConnections))
	if err != nil {
		return false, err
	}
	return superoffice.ParseConnectionArchive(body, connection)
}
