package sandbox

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// attempt is a sign-in whose form has been shown.
type attempt struct {
	app                                                  App
	tenant, redirect, state, nonce, challenge, mode, who string
	expires                                              time.Time
}

// grant is what a code stands for.
type grant struct {
	attempt
	tenantID string
	user     User
	approved bool // just now
	expires  time.Time
}

const maxAttempts = 10_000

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>SuperID (sandbox)</title>
<link rel="icon" href="data:,"><style>:root{color-scheme:light dark}*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}label{display:block;margin:.75rem 0}input,select{font:inherit;width:100%;padding:.4rem}button{font:inherit;padding:.5rem 1rem;margin-right:.5rem}.error{color:light-dark(#a00,#f99)}</style></head>
<body><h1>{{if .Consent}}Approve {{.App}}{{else}}Sign in{{end}}</h1>
<p>This is the SuperOffice <em>sandbox</em>, not SuperOffice.</p>
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
<form method="post"><input type="hidden" name="attempt" value="{{.Attempt}}">
{{if .Consent}}<p>{{.App}} asks to act {{if .SystemUser}}as a system user {{end}}in your tenant.</p><button name="action" value="approve">Approve</button>
{{else}}<label>User <input name="username" autocomplete="username" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
{{if .Tenants}}<label>Tenant <select name="tenant">{{range .Tenants}}<option>{{.}}</option>{{end}}</select></label>{{end}}
<button name="action" value="sign-in">Sign in</button>{{end}}
<button name="action" value="decline">Decline</button></form></body></html>`))

func (s *Sandbox) serveAuthorize(w http.ResponseWriter, r *http.Request, realm string) {
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		s.decide(w, r)
		return
	}
	q := r.URL.Query()
	a := attempt{
		redirect: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), mode: q.Get("response_mode"),
		expires: s.now().Add(10 * time.Minute),
	}
	for _, app := range s.apps {
		if app.ClientID == q.Get("client_id") {
			a.app = app
		}
	}
	// acr_values=tenant:CustNNNNN skips the choice of a tenant as the path does.
	if named, ok := strings.CutPrefix(q.Get("acr_values"), "tenant:"); ok && realm == "common" {
		realm = named
	}
	if realm != "common" {
		if t := s.tenant(realm); t != nil {
			a.tenant = t.id
		}
	}
	switch {
	case a.app.Name == "" || !a.app.admits(a.redirect) || (realm != "common" && a.tenant == ""):
		http.Error(w, "unknown client, tenant or redirect_uri", http.StatusBadRequest)
		return
	case q.Get("response_type") != "code" || q.Get("scope") != "openid" || a.challenge != "" && q.Get("code_challenge_method") != "S256",
		s.switches.PKCE == "required" && a.challenge == "", s.switches.PKCE == "refused" && a.challenge != "":
		s.answerAttempt(w, r, a, url.Values{"error": {"invalid_request"}})
		return
	}
	if len(s.attempts) >= maxAttempts {
		s.attempts = map[string]attempt{}
	}
	id := random(16)
	s.attempts[id] = a
	s.form(w, id, a, "")
}

func (s *Sandbox) form(w http.ResponseWriter, id string, a attempt, problem string) {
	view := struct {
		Attempt, Error, App string
		Consent, SystemUser bool
		Tenants             []string
	}{id, problem, a.app.Name, a.who != "", a.app.SystemUser, nil}
	if a.tenant == "" {
		for _, t := range s.tenants {
			view.Tenants = append(view.Tenants, t.id)
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, view)
}

// decide handles a posted form; s.mu is held.
func (s *Sandbox) decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id := r.PostFormValue("attempt")
	a, ok := s.attempts[id]
	if !ok || s.now().After(a.expires) {
		http.Error(w, "the attempt is over", http.StatusBadRequest)
		return
	}
	if r.PostFormValue("action") == "decline" {
		delete(s.attempts, id)
		s.answerAttempt(w, r, a, url.Values{"error": {"access_denied"}, "error_description": {"The person declined."}})
		return
	}
	if a.tenant == "" {
		a.tenant = r.PostFormValue("tenant")
	}
	t := s.tenant(a.tenant)
	if t == nil {
		s.form(w, id, a, "No such tenant.")
		return
	}
	var user User
	for _, u := range t.users {
		typed := u.UPN == r.PostFormValue("username") && same(u.Password, r.PostFormValue("password"))
		if a.who == u.UPN || a.who == "" && typed {
			user = u
		}
	}
	if user.UPN == "" {
		s.form(w, id, a, "User or password is wrong.")
		return
	}
	if code, description, _ := strings.Cut(s.switches.ApprovalError, " "); code != "" && a.app.SystemUser {
		delete(s.attempts, id)
		s.answerAttempt(w, r, a, url.Values{"error": {code}, "error_description": {description}})
		return
	}
	approved := false
	if !t.approved(a.app) {
		switch {
		case !user.Administrator:
			delete(s.attempts, id)
			s.answerAttempt(w, r, a, url.Values{"error": {"consent_required"}, "error_description": {"An administrator has to approve the app."}})
			return
		case r.PostFormValue("action") != "approve":
			a.who = user.UPN
			s.attempts[id] = a
			s.form(w, id, a, "")
			return
		}
		t.approve(a.app)
		s.changes++
		approved = true
	}
	delete(s.attempts, id)
	code := random(20)
	s.codes[code] = grant{attempt: a, tenantID: t.id, user: user, approved: approved, expires: s.now().Add(10 * time.Minute)}
	s.answerAttempt(w, r, a, url.Values{"code": {code}})
}

var post = template.Must(template.New("").Parse(`<!doctype html><title>Signing in</title>
<form method="post" action="{{.To}}">{{range $name, $values := .Values}}<input type="hidden" name="{{$name}}" value="{{index $values 0}}">{{end}}<noscript><button>Continue</button></noscript></form>
<script>document.forms[0].submit()</script>`))

// answerAttempt sends the browser back to the app; s.mu is held.
func (s *Sandbox) answerAttempt(w http.ResponseWriter, r *http.Request, a attempt, values url.Values) {
	values.Set("state", a.state)
	switch s.switches.CallbackIss {
	case "present":
		values.Set("iss", s.base)
	case "wrong":
		values.Set("iss", "https://another.example")
	}
	if a.mode == "form_post" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = post.Execute(w, map[string]any{"To": a.redirect, "Values": values})
		return
	}
	separator := "?"
	if strings.Contains(a.redirect, "?") {
		separator = "&"
	}
	http.Redirect(w, r, a.redirect+separator+values.Encode(), http.StatusFound)
}

func escape(text string) string { return url.QueryEscape(text) }
