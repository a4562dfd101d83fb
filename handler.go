package erpsync

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// ServeHTTP sends each request where it belongs. The way of a call is in package
// gateway: match, authenticate, admit, understand, decide, run.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	gateway, pages := h.runtime.gateway, h.runtime.pages
	gateway.Enter()
	defer gateway.Leave()

	path, verdict := gateway.Match(r)
	switch {
	case verdict != superoffice.NotOurs:
		// A call of the agent, or a path that some server reads as one.
		gateway.ServeCall(w, r, path, verdict, visit{r})
	case pages.Serves(r.URL.Path):
		// Sign-in, session, sign-out, approval.
		pages.Serve(w, r, visit{r})
	default:
		return next.ServeHTTP(w, r)
	}
	return nil
}
