package erpsync

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/pages"
	"github.com/caddy-erpsync/caddy-erpsync/internal/site"
)

// placeOf looks for the handler in the HTTP app. found is false if there is no such app, or it has no such handler.
func (s *server) placeOf(h *Handler) (p site.Place, app *caddyhttp.App, found bool) {
	module, err := s.ctx.AppIfConfigured("http")
	if err != nil {
		return site.Place{}, nil, false
	}
	app, ok := module.(*caddyhttp.App)
	if !ok {
		return site.Place{}, nil, false
	}
	p, found = site.Find(app, h)
	return p, app, found
}

// checkPlace refuses two directives of which the second never sees a request, and warns of a place in which the
// handler does not see all that it has to refuse.
func (s *server) checkPlace(h *Handler) error {
	p, _, found := s.placeOf(h)
	if !found {
		return nil
	}
	return s.judgePlace(h, p)
}

// judgePlace is checkPlace for a handler that stands there.
func (s *server) judgePlace(h *Handler, p site.Place) error {
	if p.Behind != "" {
		return fmt.Errorf("erpsync stands behind %s, which answers every request, so that it would never be asked and calls would go past it: write it first", p.Behind)
	}
	if p.Rewritten != "" {
		return fmt.Errorf("every request is rewritten to %s before erpsync sees it, so that no call would be recognized and calls would go past it: give rewrite a matcher that leaves the paths of the WebAPI as they are", p.Rewritten)
	}
	prefix := pages.DefaultPrefix
	if h.Browser != nil && h.Browser.Prefix != "" {
		prefix = strings.TrimSuffix(h.Browser.Prefix, "/")
	}
	if p.Stripped == "" && p.OnlyBelow(prefix) {
		return fmt.Errorf("only paths below %s lead to erpsync, which are its own pages: calls of the ErpSync agent would go past it; let every path of the site lead to it, it hands on what is not its own", prefix)
	}
	if p.Beside > 1 {
		return errors.New("erpsync is configured twice at one level of a site, and the second would never be asked: put every app into one block, or each block into a handle_path of its own")
	}
	if p.Enclosed && !p.RefusesConnect() {
		s.logger.Warn("erpsync does not see CONNECT requests where a matcher or handle_path leads to it, and a proxy beside it may pass them on; add to the site: "+
			"@connect method CONNECT, and: handle @connect { error 405 }", zap.String("site", p.Host))
	}
	return s.checkLinks(h, p, s.publicOrigin(h))
}

// checkLinks refuses a place in which nobody could sign in, and warns of links that lead nowhere. own is the handler's
// public origin.
func (s *server) checkLinks(h *Handler, p site.Place, own string) error {
	if h.PublicURL == "" && p.Stripped != "" && h.Browser != nil {
		return fmt.Errorf("browser: %s is taken off the path before erpsync sees it, so that SuperID would send people back to a page that there is not; add public_url %s%[1]s", p.Stripped, exampleOrigin(own))
	}
	approves := slices.ContainsFunc(h.Apps, func(a *App) bool { return a.CallAs == string(auth.AsSystem) && a.ClientID != "" })
	if approves && h.PublicURL == "" && (own == "" || p.Stripped != "") {
		s.logger.Warn("approve links lead nowhere: the site names no host, or a path is taken off before erpsync sees it; add public_url",
			zap.String("write", "public_url "+exampleOrigin(own)+p.Stripped))
	}
	if h.Browser != nil && h.PublicURL == "" && p.IsPlain() {
		s.logger.Warn("browser on a plain http site: browsers keep the session's cookie over https alone; end TLS at this site, or in front of it and say so with public_url",
			zap.String("write", "public_url https://"+p.Host))
	}
	if b := h.Browser; b != nil && !b.Framed && own != "" {
		for _, origin := range b.Origins {
			if !site.Same(origin, own) {
				s.logger.Warn("origins names a page of another site, which browsers send no session cookie: its calls are answered 401; add framed, and sign in with panel.js",
					zap.String("origin", origin), zap.String("site", own))
			}
		}
	}
	return nil
}

// exampleOrigin returns what an operator is to write who has named no host.
func exampleOrigin(own string) string {
	if own == "" {
		return "https://<host>"
	}
	return own
}

// publicOrigin returns where people reach the handler, as the configuration says it: public_url, or the origin of
// the handler's site, "" if it names no host. Requests are not asked, since anybody can
// send a Host.
func (s *server) publicOrigin(h *Handler) string {
	if public, err := h.public(); err == nil && public != nil {
		return public.String()
	}
	p, app, found := s.placeOf(h)
	if !found {
		return ""
	}
	return p.Origin(app.HTTPPort, app.HTTPSPort)
}
