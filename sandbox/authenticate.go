package sandbox

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// authenticate returns whose request it is, or the status that refuses it. A session counts only without
// Authorization, and then needs its XSRF token for every method.
func (s *Sandbox) authenticate(r *http.Request, t *tenant, onsite bool) (holder, int) {
	const denied = http.StatusUnauthorized
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var who holder
	var ok bool
	switch strings.ToLower(scheme) {
	case "":
		cookie, err := r.Cookie("ASP.NET_SessionId")
		if err != nil {
			return who, denied
		}
		value = cookie.Value
		who, ok = s.tokens[value]
		ok = ok && who.kind == "session" && same(who.xsrf, r.Header.Get("X-XSRF-TOKEN"))
	case "bearer":
		who, ok = s.tokens[value]
		ok = ok && who.kind == "access"
	case "soticket":
		who, ok = s.tokens[value]
		ok = ok && who.kind == "ticket"
		if ok && !onsite {
			app := s.app(who.app)
			ok = app != nil && same(app.ClientSecret, r.Header.Get("SO-AppToken"))
		}
		if forgotten := s.switches.TicketForgotten; ok && forgotten > 0 && !s.now().Before(who.minted.Add(forgotten)) {
			ok = false
		}
	case "basic":
		return basic(t, value, onsite)
	}
	switch {
	case !ok || who.tenant != t.id:
		return who, denied
	case !s.now().Before(who.expires):
		if s.switches.ExpiredToken == "403" && who.kind != "session" {
			return who, http.StatusForbidden
		}
		return who, denied
	}
	if status := s.withdrawnStatus(who); status != 0 {
		return who, status
	}
	if who.kind == "ticket" { // six hours from its last use
		who.expires = s.now().Add(s.ticketLifetime())
		s.tokens[value] = who
	}
	return who, 0
}

// basic is never taken Online.
func basic(t *tenant, value string, onsite bool) (holder, int) {
	raw, err := base64.StdEncoding.DecodeString(value)
	name, password, _ := strings.Cut(string(raw), ":")
	for _, u := range t.users {
		if err == nil && onsite && u.Name == name && same(u.Password, password) {
			return holder{kind: "basic", tenant: t.id, user: u}, 0
		}
	}
	return holder{}, http.StatusUnauthorized
}

// withdrawnStatus returns what refuses a credential whose app lost its consent, 0 if nothing does; s.mu is held.
func (s *Sandbox) withdrawnStatus(who holder) int {
	app, t := s.app(who.app), s.tenant(who.tenant)
	if app == nil || t == nil || t.approved(*app) {
		return 0
	}
	switch s.switches.WithdrawnTokens {
	case "401":
		return http.StatusUnauthorized
	case "403":
		return http.StatusForbidden
	}
	return 0
}

// withoutRights reports whether the person may not use the agent; s.mu is held.
func (s *Sandbox) withoutRights(who holder) bool {
	return !who.system && s.switches.WithoutRights != "" && who.user.Name == s.switches.WithoutRights
}
