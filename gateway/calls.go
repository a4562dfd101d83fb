package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// callPurpose is what the name of a call in an address is sealed for.
const callPurpose = "erpsync call"

// lookEvery is how often a call at another gateway is looked at for a caller that waits.
const lookEvery = time.Second

// noteKey names a call and its answer in the store. Nobody but its principal can name it.
func noteKey(p auth.Principal, o *Order) string {
	if o.IdempotencyKey != "" {
		return idempotencyKey(p, o.Operation, o.IdempotencyKey)
	}
	return auth.Key("call", p.App, string(p.Tenant), string(p.Scheme), p.ID, o.Operation.String(), o.Handle)
}

func idempotencyKey(p auth.Principal, op superoffice.Operation, key string) string {
	if p.Scheme == auth.Operator { // whichever repeats a call, it is sent once
		p.ID = ""
	}
	return auth.Key("idempotency", p.App, string(p.Tenant), string(p.Scheme), p.ID, op.String(), key)
}

// answers returns what keeps answers to a principal's calls, as of its last revocation.
func (g *Gateway) answers(ctx context.Context, p auth.Principal) (*guard.Answers, *auth.Refusal) {
	epoch, err := g.sessionManager().RevocationEpoch(ctx, p.App, p.Tenant, personOf(p))
	if err != nil {
		return nil, auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	return g.answersUnder(epoch), nil
}

// answersUnder is answers where the revocation epoch is known, or will be.
func (g *Gateway) answersUnder(epoch string) *guard.Answers {
	return &guard.Answers{KV: g.state.KV, Locker: g.state.Locker, Sealer: g.keys, Keep: g.config.Idempotency, Longest: maxCallTime, Mark: epoch}
}

// callURL returns where the principal asks for a call. What names the call is sealed for that principal: to anybody else it
// names nothing, and it is no secret. The tenant goes along for those whose proof needs it.
func (g *Gateway) callURL(p auth.Principal, op superoffice.Operation, key string) string {
	address := g.config.Links.Calls + "/" + g.keys.Seal(callPurpose, callParts(p), []byte(op.String()+" "+key))
	if p.Tenant != superoffice.Onsite {
		address += "?tenant=" + string(p.Tenant)
	}
	return address
}

func callParts(p auth.Principal) []string {
	return []string{p.App, string(p.Tenant), string(p.Scheme), p.ID}
}

// openCall reads what callURL sealed; found is false if it names no call of the principal's.
func (g *Gateway) openCall(p auth.Principal, name string) (op superoffice.Operation, key string, found bool) {
	plain, err := g.keys.Open(callPurpose, callParts(p), name)
	if err != nil {
		return superoffice.UnknownOperation, "", false
	}
	operation, key, _ := strings.Cut(string(plain), " ")
	op, found = superoffice.ParseOperation(operation)
	return op, key, found
}

// writeRunning answers that a call runs.
func writeRunning(w http.ResponseWriter, location string, running guard.Standing) {
	retry := leastCallRetry
	if !running.Began.IsZero() {
		retry = min(max(time.Since(running.Began)/10, leastCallRetry), mostCallRetry)
	}
	body, err := marshal(struct {
		State     string `json:"state"`
		Call      string `json:"call"`
		RequestID string `json:"request_id"`
		Began     string `json:"began,omitempty"`
	}{"running", location, running.RequestID, rfc3339(running.Began)})
	if err != nil {
		panic(err) // strings always marshal
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(retry.Seconds())))}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body)
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// ServeCalls serves a GET that asks for a call of the caller's own. name is what the address names it by; "": the header Idempotency-Key does.
func (g *Gateway) ServeCalls(w http.ResponseWriter, r *http.Request, name string, visit Visit) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Cross-Origin-Resource-Policy"] = []string{"same-origin"}
	h["Vary"] = append(h["Vary"], "Authorization, Cookie, Idempotency-Key, Prefer")
	line := &outcome.EndpointRefusal{RequestID: visit.ID(), ClientIP: visit.ClientIP(), Endpoint: "/calls"}
	refusal := g.serveCalls(w, r, name, visit, line)
	if refusal == nil {
		return
	}
	line.Reason, line.Cause, line.Status = string(refusal.Reason), refusal.CauseText(), refusal.Status
	g.RecordRefused(r.Context(), line)
	if refusal.Status >= http.StatusInternalServerError {
		g.platform.Logger.Error("request for a call not served", zap.String("request_id", visit.ID()), zap.String("reason", string(refusal.Reason)), zap.String("app", line.App), zap.String("cause", refusal.CauseText()))
	}
	g.WriteRefusal(w, r, visit.ID(), answeringBearer(r, refusal), webpage.Page{})
}

// askedCall is a call that a caller asks for.
type askedCall struct {
	operation superoffice.Operation
	key       string
}

func (g *Gateway) serveCalls(w http.ResponseWriter, r *http.Request, name string, visit Visit, line *outcome.EndpointRefusal) *auth.Refusal {
	ctx := r.Context()
	tenant, operation, refusal := readCallQuery(r.URL.RawQuery)
	if refusal != nil {
		return refusal
	}
	// Who asks? A caller proves itself as for a call.
	caller, app, refusal := g.authenticate(r, visit, superoffice.Call{Tenant: tenant})
	p := caller.Principal
	line.App = p.App
	if refusal != nil {
		return refusal
	}
	visit.Proved(p.ID)
	answers, refusal := g.answers(ctx, p)
	if refusal != nil {
		return refusal
	}
	// For which call of its own?
	asked, refusal := g.askedCall(ctx, r, p, app, name, operation, answers)
	if refusal != nil {
		return refusal
	}
	// May it still make such a call?
	if _, refusal := g.Admit(ctx, caller, app, superoffice.Call{Operation: asked.operation, Tenant: tenant}); refusal != nil {
		return refusal
	}
	preferred := readPreferences(r.Header[preferHeader])
	standing, found, waited, refusal := g.awaitCall(ctx, p.App, answers, asked.key, preferred.wait)
	if refusal != nil {
		return refusal
	}
	if !found {
		return noSuchCall(errors.New("the store has no note of it"))
	}
	h := w.Header()
	if waited {
		h[preferenceAppliedHeader] = preferences{wait: preferred.wait}.applied()
	}
	location := g.callURL(p, asked.operation, asked.key)
	if name == "" {
		h["Content-Location"] = []string{location}
	}
	if standing.Running {
		writeRunning(w, location, standing)
		return nil
	}
	// From here on the answer is the call's, which the header says.
	h[replayedHeader] = []string{standing.RequestID}
	if standing.Refusal != nil {
		if standing.Outcome != "" {
			h[outcomeHeader] = []string{standing.Outcome}
		}
		g.writeProblem(w, visit.ID(), standing.Refusal)
		return nil
	}
	writeKept(w, standing.Answer)
	return nil
}

// readCallQuery reads the query, which may name the tenant and the operation and hold nothing else.
func readCallQuery(raw string) (superoffice.Tenant, superoffice.Operation, *auth.Refusal) {
	wrong := func() (superoffice.Tenant, superoffice.Operation, *auth.Refusal) {
		refusal := auth.Refuse(auth.QueryNotUnderstood, errors.New("the query is not one tenant, one operation, or both"))
		refusal.Detail = "The query may name a tenant, as tenant=Cust12345, and an operation, as operation=ForceResync, and nothing else. An Idempotency-Key belongs in its header."
		return superoffice.Onsite, superoffice.UnknownOperation, refusal
	}
	if raw == "" {
		return superoffice.Onsite, superoffice.UnknownOperation, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return wrong()
	}
	tenant, operation := superoffice.Onsite, superoffice.UnknownOperation
	for name, values := range query {
		ok := false
		switch {
		case len(values) != 1:
		case name == "tenant":
			tenant, ok = superoffice.ParseTenant(values[0])
		case name == "operation":
			operation, ok = superoffice.ParseOperation(values[0])
		}
		if !ok {
			return wrong()
		}
	}
	return tenant, operation, nil
}

// askedCall finds the call that a request asks for: by its sealed name, or by the Idempotency-Key that it was sent with.
func (g *Gateway) askedCall(ctx context.Context, r *http.Request, p auth.Principal, app *App, name string, operation superoffice.Operation, answers *guard.Answers) (askedCall, *auth.Refusal) {
	if name != "" {
		op, key, found := g.openCall(p, name)
		if !found {
			return askedCall{}, noSuchCall(errors.New("the address names no call of this principal"))
		}
		return askedCall{op, key}, nil
	}
	key, refusal := readIdempotencyKey(r.Header)
	if refusal == nil && key == "" {
		refusal = auth.Refuse(auth.HeaderNotUnderstood, errors.New("no Idempotency-Key"))
		refusal.Detail = "Name a call by its address, which the answer 202 had in Location, or by its Idempotency-Key in the header of that name."
	}
	if refusal != nil {
		return askedCall{}, refusal
	}
	var known []askedCall
	for _, op := range app.Operations {
		if !op.Resyncs() || operation != superoffice.UnknownOperation && op != operation {
			continue
		}
		asked := askedCall{op, idempotencyKey(p, op, key)}
		_, found, refusal := g.lookAtCall(ctx, answers, asked.key)
		if refusal != nil {
			return askedCall{}, refusal
		}
		if found {
			known = append(known, asked)
		}
	}
	switch len(known) {
	case 0:
		return askedCall{}, noSuchCall(errors.New("the store has no note of a call with this Idempotency-Key"))
	case 1:
		return known[0], nil
	}
	refusal = auth.Refuse(auth.HeaderNotUnderstood, fmt.Errorf("%d operations were called with this Idempotency-Key", len(known)))
	refusal.Detail = "Several operations were called with this Idempotency-Key. Name one in the query, as operation=ForceResync."
	return askedCall{}, refusal
}

// noSuchCall refuses a caller that asks for a call of another's, or of nobody's: it does not learn which.
func noSuchCall(cause error) *auth.Refusal { return auth.Refuse(auth.CallNotFound, cause) }

// lookAtCall returns what is known of a call. What runs in this process is known without the store.
func (g *Gateway) lookAtCall(ctx context.Context, answers *guard.Answers, key string) (guard.Standing, bool, *auth.Refusal) {
	if c := g.state.background.find(key); c != nil {
		return guard.Standing{RequestID: c.id, Began: c.began, Running: true}, true, nil
	}
	return answers.Look(ctx, key)
}

// awaitCall is lookAtCall once the call is over or it was waited for long enough. waited reports whether the caller's wish to wait was met.
func (g *Gateway) awaitCall(ctx context.Context, app string, answers *guard.Answers, key string, wait time.Duration) (standing guard.Standing, found, waited bool, refusal *auth.Refusal) {
	if wait > 0 {
		done, ok := g.state.background.wait(app)
		if !ok {
			wait = 0
		} else {
			defer done()
		}
	}
	until := time.Now().Add(wait)
	for {
		standing, found, refusal = g.lookAtCall(ctx, answers, key)
		left := time.Until(until)
		if refusal != nil || !found || !standing.Running || left <= 0 || ctx.Err() != nil || g.draining() {
			return standing, found, wait > 0 && (left <= 0 || !standing.Running), refusal
		}
		var over <-chan struct{}
		if c := g.state.background.find(key); c != nil {
			over = c.over
		}
		timer := time.NewTimer(min(left, lookEvery))
		select {
		case <-over:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// draining reports whether the process is stopping: nobody is kept waiting then.
func (g *Gateway) draining() bool { return g.platform.Draining != nil && g.platform.Draining() }
