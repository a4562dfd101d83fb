package erpsync

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// ServeHTTP is the gateway's whole story.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.calls.Add(1)
	defer h.calls.Done()

	// Is it an ErpSync call, or one of the gateway's own pages? Everything else is not ours.
	path, verdict := h.paths.Read(r.URL.EscapedPath())
	if verdict == superoffice.NotOurs {
		if h.endpoints.serves(r.URL.Path) {
			return h.endpoints.serve(w, r)
		}
		return next.ServeHTTP(w, r)
	}
	c := h.begin(w, r, path)
	defer c.end()
	if c.preflight() {
		return nil
	}

	// Is it spelled in the one way that everybody reads alike?
	if refusal := c.match(verdict); refusal != nil {
		return c.refuse(refusal)
	}

	// Who calls, and for which app and tenant?
	if refusal := c.authenticate(); refusal != nil {
		return c.refuse(refusal)
	}

	// May this app, in this tenant, make this call? And does the body say for
	// certain which connection and which keys?
	grant, refusal := c.app.grants.AuthoriseCall(c.r.Context(), c.principal, c.request())
	if refusal != nil {
		return c.refuse(refusal)
	}
	if refusal := c.read(); refusal != nil {
		return c.refuse(refusal)
	}
	if refusal := c.app.grants.AuthoriseArguments(grant, c.request()); refusal != nil {
		return c.refuse(refusal)
	}

	// Is it safe to run now? It may be running already, or have been answered before.
	if refusal := c.guard(); refusal != nil {
		return c.refuse(refusal)
	}
	if c.kept != nil {
		c.replay()
		return nil
	}
	if c.dry {
		return c.tell()
	}

	// As whom do we call on?
	c.grant, c.record.Granted = grant, true
	if refusal := c.credential(); refusal != nil {
		return c.refuse(refusal)
	}

	// The gateway makes its own call, and the answer passes.
	if refusal := c.forward(); refusal != nil {
		return c.refuse(refusal)
	}
	return nil
}

// match refuses what is ours and not spelled as it should be.
func (c *call) match(verdict superoffice.Verdict) *auth.Refusal {
	r := c.r
	switch {
	case verdict == superoffice.Crooked, r.URL.Host != "" && r.URL.Scheme != "", len(r.RequestURI) > 0 && r.RequestURI[0] != '/':
		return auth.Refuse(auth.PathNotCanonical, nil)
	case r.Header.Get("Upgrade") != "":
		return auth.Refuse(auth.UpgradeRefused, nil)
	case r.Method != http.MethodPost:
		return auth.Refuse(auth.MethodNotAllowed, nil)
	case r.TLS != nil && !r.TLS.HandshakeComplete, r.Header.Get("Early-Data") != "":
		return auth.Refuse(auth.EarlyData, nil)
	}
	selected, err := superoffice.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return auth.Refuse(auth.QueryNotUnderstood, err)
	}
	c.selected = selected
	if !c.h.Audit.KeepSelect {
		c.selected, c.record.Widened = selected.Revealing(), selected.Hides()
	}
	return nil
}
