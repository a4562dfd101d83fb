package erpsync

import (
	"encoding/json"
	"net/http"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// defaultPrefix is where the gateway's own endpoints are.
const defaultPrefix = "/erpsync"

// endpoints are what the gateway itself answers to browsers: sign-in and sessions where
// browser is configured, approvals where an app has a system user.
type endpoints struct {
	h      *Handler
	prefix string
	at     map[string]endpoint // by path below the prefix
	// exchanges bounds what whoever holds an attempt can have asked of SuperID with an app's secret.
	exchanges *rate.Limiter
}

// exchangesPerSecond is far beyond what people do; as many may come at once.
const exchangesPerSecond = 50

// endpoint is what answers a method; nil: nothing does.
type endpoint struct {
	get, post func(http.ResponseWriter, *http.Request) *auth.Refusal
}

// newEndpoints gives the endpoints of a provisioned handler; nil where it has none.
func newEndpoints(h *Handler) *endpoints {
	e := &endpoints{h: h, prefix: defaultPrefix, at: make(map[string]endpoint), exchanges: rate.NewLimiter(exchangesPerSecond, exchangesPerSecond)}
	if b := h.Browser; b != nil {
		e.prefix = b.Prefix
		e.at["/sign-in"] = endpoint{get: b.signIn}
		e.at["/session"] = endpoint{get: b.session}
		e.at["/sign-out"] = endpoint{post: b.signOut}
		if b.Framed {
			e.at["/hand-over"] = endpoint{post: b.takeOver}
			e.at["/panel.js"] = endpoint{get: b.serveScript}
		}
	}
	for _, app := range h.Apps {
		if app.takesApprovals() {
			e.at["/approve"] = endpoint{get: e.approve}
			e.at["/approval"] = endpoint{get: e.approval}
		}
	}
	if len(e.at) == 0 {
		return nil
	}
	e.at["/callback"] = endpoint{get: e.callback, post: e.callback}
	return e
}

// serves tells whether a path is the endpoints'. Where nobody signs in, the rest below the prefix is the next handler's.
func (e *endpoints) serves(path string) bool {
	if e == nil {
		return false
	}
	below, ok := strings.CutPrefix(path, e.prefix)
	if _, known := e.at[below]; ok && known {
		return true
	}
	return ok && e.h.Browser != nil && strings.HasPrefix(below, "/")
}

func (e *endpoints) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	id := requestID(r)
	h.Set("ErpSync-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	e.h.origins.expose(w, r)
	if e.h.origins.preflight(w, r) {
		return nil
	}
	// The escaped path: a crooked spelling is no endpoint.
	at, ok := e.at[strings.TrimPrefix(r.URL.EscapedPath(), e.prefix)]
	var refusal *auth.Refusal
	switch {
	case !ok:
		refusal = auth.Refuse(auth.PathNotCanonical, nil)
		refusal.Status, refusal.Detail = http.StatusNotFound, "There is no such endpoint."
	case r.Method == http.MethodGet && at.get != nil:
		refusal = at.get(w, r)
	case r.Method == http.MethodPost && at.post != nil:
		refusal = at.post(w, r)
	default:
		refusal = auth.Refuse(auth.MethodNotAllowed, nil)
		refusal.Detail = "This endpoint is not called with that method."
	}
	if refusal != nil {
		if refusal.Cause != nil {
			e.h.logger.Warn("sign-in endpoint refused", zap.String("request_id", id), zap.String("reason", string(refusal.Reason)), zap.Error(refusal.Cause))
		}
		writeProblem(w, id, refusal)
	}
	return nil
}

func answerJSON(w http.ResponseWriter, value any) *auth.Refusal {
	body, err := json.Marshal(value)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
