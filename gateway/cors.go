package gateway

import (
	"net/http"
	"strings"
)

// What a page of another origin may send and see. The request headers are those
// of the vendor's client, the gateway's own, and those that tracing and common libraries add to every
// request of a page; these go no further.
const (
	corsRequestHeaders = "Accept, Accept-Language, Authorization, Baggage, Content-Type, ErpSync-Confirm, ErpSync-Dry-Run, Idempotency-Key, Prefer, Request-Id, Sentry-Trace, " +
		"SO-AppToken, SO-Browser-TZ-Offset, SO-Culture, SO-Language, SO-TimeZone, Traceparent, Tracestate, X-Requested-With, X-XSRF-TOKEN"
	corsResponseHeaders = "ErpSync-Outcome, ErpSync-Replayed, ErpSync-Request-Id, Location, Preference-Applied, Retry-After, SO-TimeZone"
	corsMaxAge          = "600"
)

// Expose lets a page of a listed origin read the answer, refusals too.
func (g *Gateway) Expose(w http.ResponseWriter, r *http.Request) {
	origins := g.config.Origins
	if !origins.Any() {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origins.Lists(origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", corsResponseHeaders)
	}
}

// Preflight answers a browser that asks whether a page may call, and reports whether it did. It comes before
// authentication, since such a request carries no credential.
func (g *Gateway) Preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || !g.config.Origins.Lists(r.Header.Get("Origin")) || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", strings.Join(append([]string{corsRequestHeaders}, g.config.AllowHeaders...), ", "))
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
