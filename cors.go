package erpsync

import (
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// What a page of another origin may send and see. The request headers are those
// of the vendor's client and the seed's page.
const (
	corsRequestHeaders  = "Accept, Accept-Language, Authorization, Content-Type, ErpSync-Confirm, ErpSync-Dry-Run, Idempotency-Key, SO-AppToken, SO-Browser-TZ-Offset, SO-Culture, SO-Language, SO-TimeZone, X-XSRF-TOKEN"
	corsResponseHeaders = "ErpSync-Replayed, ErpSync-Request-Id, Retry-After, SO-TimeZone"
	corsMaxAge          = "600"
)

// pages are the origins whose pages may call.
type pages struct{ auth.Origins }

// expose lets a page of a listed origin read the answer, refusals too.
func (p pages) expose(w http.ResponseWriter, r *http.Request) {
	if !p.Any() {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); p.Lists(origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", corsResponseHeaders)
	}
}

// preflight answers a browser that asks whether a page may call. It comes before
// authentication, since such a request carries no credential.
func (p pages) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || !p.Lists(r.Header.Get("Origin")) || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", corsRequestHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (c *call) preflight() bool {
	if !c.h.origins.preflight(c.w, c.r) {
		return false
	}
	c.record.Decision, c.record.Status = "preflight", http.StatusNoContent
	return true
}
