package sandbox

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"
)

// holder says whose a credential is.
type holder struct {
	kind     string // access, refresh, ticket, session
	tenant   string
	app      string
	user     User
	system   bool
	xsrf     string
	redirect string // where the sign-in was answered, for a refresh that asks for it
	minted   time.Time
	expires  time.Time
}

const (
	defaultAccessLifetime = time.Hour
	defaultTicketLifetime = 6 * time.Hour
)

// issue gives out a credential; s.mu is held.
func (s *Sandbox) issue(h holder) string {
	s.mints[h.kind]++
	lifetime := 6 * time.Hour
	value := random(20)
	switch h.kind {
	case "access":
		lifetime = s.accessLifetime()
		value = "8A:" + h.tenant + "." + value
	case "ticket":
		lifetime = s.ticketLifetime()
		value = "7T:" + utf16Base64(value+";"+fmt.Sprint(h.user.AssociateID)+";"+h.tenant)
	case "refresh":
		lifetime = 365 * 24 * time.Hour
	}
	h.minted = s.now()
	h.expires = h.minted.Add(lifetime)
	s.tokens[value] = h
	s.changes++
	return value
}

func (s *Sandbox) accessLifetime() time.Duration {
	if s.switches.AccessLifetime == 0 {
		return defaultAccessLifetime
	}
	return s.switches.AccessLifetime
}

func (s *Sandbox) ticketLifetime() time.Duration {
	if s.switches.TicketLifetime == 0 {
		return defaultTicketLifetime
	}
	return s.switches.TicketLifetime
}

func utf16Base64(text string) string {
	var b []byte
	for _, c := range []byte(text) {
		b = append(b, c, 0)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// same reports whether two secrets are equal; an empty one equals nothing.
func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Expire ends every credential of a kind: access, refresh, ticket or session.
func (s *Sandbox) Expire(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	for value, h := range s.tokens {
		if h.kind == kind {
			h.expires = time.Time{}
			s.tokens[value] = h
		}
	}
}

// Ticket signs a person in and returns their ticket, minted for an app.
func (s *Sandbox) Ticket(app, tenantID, name string) string {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(holder{kind: "ticket", tenant: tenantID, app: app, user: user})
}

// AccessToken signs a person in and returns their access token.
func (s *Sandbox) AccessToken(app, tenantID, name string) string {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(holder{kind: "access", tenant: tenantID, app: app, user: user})
}

// WebSession begins a session of SuperOffice's own web client and returns the value of the
// cookie ASP.NET_SessionId and the XSRF token.
func (s *Sandbox) WebSession(tenantID, name string) (cookie, xsrf string) {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	xsrf = random(16)
	return s.issue(holder{kind: "session", tenant: tenantID, user: user, xsrf: xsrf}), xsrf
}

// Mints returns how many credentials of a kind were given out.
func (s *Sandbox) Mints(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mints[kind]
}

// Live returns how many credentials of a kind have been given out and neither revoked nor expired.
func (s *Sandbox) Live(kind string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.tokens {
		if h.kind == kind && s.now().Before(h.expires) {
			n++
		}
	}
	return n
}
