package pages

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
)

// probeCookie shows that SuperID's answers to a probe's sign-ins come from the browser that began them. It opens nothing.
const probeCookie = "__Host-erpsync-probe"

// ProbePath returns where a person begins the sign-ins of a probe, once. The secret is called code, which log filters hide.
func ProbePath(prefix, key string) string {
	return prefix + "/probe?" + url.Values{"code": {key}}.Encode()
}

// probe shows what the address of a probe begins. It begins nothing itself: what previews links visits it too.
func (p *Pages) probe(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	key := r.URL.Query().Get("code")
	about, ok := p.config.Probes.Invited(key)
	if !ok {
		p.probeRefused(w, r, visit, "probe_unknown", http.StatusNotFound)
		return nil
	}
	p.probePage(w, r, "probe", webpage.Facts{App: about.App, Tenant: string(about.Tenant), Until: about.Until.UTC().Format("15:04 UTC")},
		webpage.Link{Label: "superoffice", URL: p.config.Prefix + "/probe/begin?" + url.Values{"code": {key}}.Encode()})
	return nil
}

// beginProbe sends the browser to SuperID and uses the address up.
func (p *Pages) beginProbe(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	about, _ := p.config.Probes.Invited(r.URL.Query().Get("code"))
	target, browser, until, ok := p.config.Probes.SignIn(r.URL.Query().Get("code"), auth.OwnOrigin(r)+p.config.Prefix+"/callback")
	if !ok {
		p.probeRefused(w, r, visit, "probe_unknown", http.StatusNotFound)
		return nil
	}
	p.log.Info("somebody begins the sign-ins of a probe", zap.String("request_id", visit.ID()), zap.String("client_ip", visit.ClientIP()), zap.String("app", about.App), zap.String("tenant", string(about.Tenant)))
	http.SetCookie(w, &http.Cookie{Name: probeCookie, Value: browser, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(time.Until(until).Seconds())})
	redirect(w, target)
	return nil
}

// probed takes SuperID's answer to a sign-in of a probe. The person who signed in gets no session.
func (p *Pages) probed(w http.ResponseWriter, r *http.Request, visit gateway.Visit, answer url.Values) {
	browser, err := gateway.OnlyCookie(r, probeCookie)
	if err != nil {
		browser = ""
	}
	ending, target := p.config.Probes.Answer(answer.Get("state"), browser, answer)
	if ending == probe.Again {
		redirect(w, target)
		return
	}
	if ending == probe.Thanks || ending == probe.Failed {
		http.SetCookie(w, &http.Cookie{Name: probeCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	}
	switch ending {
	case probe.Thanks:
		p.probePage(w, r, "probe_done", webpage.Facts{})
	case probe.Failed:
		p.probeRefused(w, r, visit, "probe_failed", http.StatusForbidden)
	case probe.Unknown:
		p.probeRefused(w, r, visit, "probe_unknown", http.StatusNotFound)
	default:
		p.probeRefused(w, r, visit, "probe_another_browser", http.StatusForbidden)
	}
}

// probes reports whether people can sign in for a probe here.
func (p *Pages) probes() bool {
	if p.config.Probes == nil {
		return false
	}
	for _, app := range p.gateway.Apps() {
		if probe.TakesSignIns(p.gateway, app) {
			return true
		}
	}
	return false
}

func redirect(w http.ResponseWriter, target string) {
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// probeCauses say in the audit log why a page is shown.
var probeCauses = map[string]string{
	"probe_unknown":         "code or state of no probe that waits for a sign-in",
	"probe_failed":          "SuperID signed nobody in for a probe",
	"probe_another_browser": "another browser began the probe's sign-in",
}

// probePage writes one of the pages of a probe.
func (p *Pages) probePage(w http.ResponseWriter, r *http.Request, name string, facts webpage.Facts, links ...webpage.Link) {
	webpage.Write(w, r, webpage.Page{Name: name, Status: http.StatusOK, Facts: facts, Links: links, RequestID: w.Header().Get(requestIDHeader)})
}

// probeRefused writes a page that a probe does not go on from.
func (p *Pages) probeRefused(w http.ResponseWriter, r *http.Request, visit gateway.Visit, name string, status int) {
	refusal := auth.Refuse(auth.CredentialInvalid, errors.New(probeCauses[name]))
	refusal.Status, refusal.Detail = status, "No probe goes on from here: "+name+"."
	p.record(r, visit, refusal)
	p.gateway.WriteRefusal(w, r, visit.ID(), refusal, webpage.Page{Name: name, Links: []webpage.Link{}})
}
