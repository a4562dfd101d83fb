package pages

import (
	"fmt"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// tenantStatusPath is where SuperOffice sends its notices of tenants, below the prefix.
const tenantStatusPath = "/tenant-status"

// tenantStatus takes a tenant status push. The sender has proved nothing: until its signature is verified, nothing is asked
// of anybody but SuperID's keys.
func (p *Pages) tenantStatus(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	result, refusal := p.hearNotice(w, r, visit)
	if refusal != nil {
		p.gateway.Platform().Metrics.TenantStatus(superoffice.UnknownChange, outcome.NoticeRefused)
		return refusal
	}
	return gateway.WriteJSON(w, map[string]any{"result": result})
}

func (p *Pages) hearNotice(w http.ResponseWriter, r *http.Request, visit gateway.Visit) (outcome.NoticeResult, *auth.Refusal) {
	raw, refusal := gateway.ReadBody(w, r, "a push may be", superid.MaxPush, p.gateway.Config().BodyTimeout)
	if refusal != nil {
		return "", refusal
	}
	body, err := superid.ParsePush(raw)
	if err != nil {
		return "", auth.Refuse(auth.BodyNotUnderstood, fmt.Errorf("no tenant status push: %w", err))
	}
	return p.gateway.HearNotice(body, visit)
}
