package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// A look-up comes in a body: ERP numbers and names are personal data, and addresses stand in access logs, histories and
// what proxies keep. The tenant may stand in the query, where a caller's proof needs one and names none.

// maxLookupBody bounds a look-up's body, in bytes.
const maxLookupBody = 4 << 10

// TakesLookups reports whether any app's callers may look up internal keys.
func (g *Gateway) TakesLookups() bool {
	for _, app := range g.apps {
		if app.Lookups {
			return true
		}
	}
	return false
}

// ServeLookup serves a POST that asks which internal key belongs to what.
func (g *Gateway) ServeLookup(w http.ResponseWriter, r *http.Request, visit Visit) {
	began := time.Now()
	line := &outcome.Lookup{RequestID: visit.ID(), ClientIP: visit.ClientIP(), Decision: "allowed", Status: http.StatusOK}
	found, refusal := g.lookUp(w, r, visit, line)
	if refusal == nil {
		line.Found = len(found.Matches)
		refusal = g.auditLookup(r, line, began)
	} else {
		line.Decision, line.Reason, line.Cause, line.Status = "refused", string(refusal.Reason), refusal.CauseText(), refusal.Status
		_ = g.auditLookup(r, line, began) // it is refused either way
	}
	if refusal == nil {
		refusal = WriteJSON(w, found)
	}
	if refusal == nil {
		return
	}
	if refusal.Status >= http.StatusInternalServerError {
		g.platform.Logger.Error("look-up not served", zap.String("request_id", visit.ID()), zap.String("reason", string(refusal.Reason)),
			zap.String("app", line.App), zap.String("tenant", line.Tenant), zap.String("cause", refusal.CauseText()))
	}
	g.WriteRefusal(w, r, visit.ID(), answeringBearer(r, refusal), webpage.Page{})
}

// auditLookup writes the line of a look-up. Where calls are refused whose line cannot be written, nothing is answered either.
func (g *Gateway) auditLookup(r *http.Request, line *outcome.Lookup, began time.Time) *auth.Refusal {
	line.Duration, line.Node, line.Environment, line.Privacy = time.Since(began), g.platform.Node, g.config.Environment.Name(), g.config.Privacy
	if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
		line.TraceID = span.TraceID().String()
	}
	unwritten := outcome.AuditLog{Logger: g.platform.Audit, Written: g.auditWritten}.Lookup(line)
	if unwritten != nil && g.config.AuditRequired {
		return auth.Refuse(auth.AuditUnavailable, unwritten).After(unwrittenRetry)
	}
	return nil
}

// lookUp is the story of a look-up: who asks, may they, what for, and what SuperOffice answers.
func (g *Gateway) lookUp(w http.ResponseWriter, r *http.Request, visit Visit, line *outcome.Lookup) (Found, *auth.Refusal) {
	tenant, refusal := lookupTenant(r.URL.RawQuery)
	if refusal != nil {
		return Found{}, refusal
	}
	caller, app, refusal := g.authenticate(r, visit, superoffice.Call{Tenant: tenant})
	p := caller.Principal
	line.App, line.Tenant, line.Principal, line.Scheme = p.App, string(p.Tenant), p.ID, string(p.Scheme)
	if refusal != nil {
		return Found{}, refusal
	}
	visit.Proved(p.ID)
	grant, refusal := app.AuthoriseLookup(r.Context(), p, tenant)
	if refusal != nil {
		return Found{}, g.offerApproval(refusal, app, p.Tenant)
	}
	lookup, refusal := g.readLookup(w, r)
	line.Question, line.Connection, line.Text, line.Number = string(lookup.Question), lookup.Connection, lookup.Text, lookup.Number
	if refusal != nil {
		return Found{}, refusal
	}
	return (&Admission{Caller: caller, app: app, grant: grant}).find(r.Context(), lookup)
}

// lookupTenant reads the query, which may name the tenant and hold nothing else.
func lookupTenant(raw string) (superoffice.Tenant, *auth.Refusal) {
	if raw == "" {
		return superoffice.Onsite, nil
	}
	query, err := url.ParseQuery(raw)
	tenant, ok := superoffice.ParseTenant(query.Get("tenant"))
	if err != nil || len(query) != 1 || len(query["tenant"]) != 1 || !ok {
		refusal := auth.Refuse(auth.QueryNotUnderstood, errors.New("the query is not one tenant of the form Cust12345"))
		refusal.Detail = "The query may name a tenant, as tenant=Cust12345, and nothing else. What is looked up belongs in the body."
		return superoffice.Onsite, refusal
	}
	return tenant, nil
}

// readLookup reads the body: one JSON object, of which everything is understood.
func (g *Gateway) readLookup(w http.ResponseWriter, r *http.Request) (superoffice.Lookup, *auth.Refusal) {
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := parameters["charset"]; err != nil || media != "application/json" || len(r.Header["Content-Encoding"]) > 0 || charset != "" && charset != "utf-8" && charset != "UTF-8" {
		w.Header().Set("Accept", "application/json")
		return superoffice.Lookup{}, auth.Refuse(auth.MediaTypeUnsupported, errors.New("the body is not application/json in UTF-8"))
	}
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(time.Now().Add(g.config.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLookupBody))
	if err == nil {
		_ = controller.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return superoffice.Lookup{}, auth.Refuse(auth.BodyTooLarge, fmt.Errorf("the body is longer than %d bytes", maxLookupBody))
	case err != nil:
		return superoffice.Lookup{}, auth.Refuse(auth.BodyIncomplete, err)
	}
	var request LookupRequest
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		// The decoder's own words may repeat what was sent.
		return superoffice.Lookup{}, auth.Refuse(auth.BodyNotUnderstood, errors.New("the body is no look-up in JSON, or has a member that is not known"))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return superoffice.Lookup{}, auth.Refuse(auth.BodyNotUnderstood, errors.New("something follows the look-up"))
	}
	lookup, err := request.Lookup()
	var wrong *superoffice.LookupError
	if errors.As(err, &wrong) {
		refusal := auth.Refuse(auth.BodyNotUnderstood, err)
		refusal.Detail += " (" + wrong.Error() + ")"
		refusal.Pointer = "/" + wrong.Field
		return lookup, refusal
	}
	return lookup, nil
}
