package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// User is somebody at a tenant.
type User struct {
	Name, UPN, Password, FullName string
	AssociateID                   int
	Administrator                 bool
}

type tenant struct {
	id     string
	serial string
	state  string
	base   string // where its WebAPI is told to live
	users  []User
	// consents are system tokens by app; an app without a system user needs none.
	consents map[string]string
	// withdrawn are the apps without a system user whose consent was taken back.
	withdrawn map[string]bool
	// synced is when a connection last carried a resync, by connection.
	synced map[int]time.Time
}

func (s *Sandbox) addTenant(id, name string) {
	t := &tenant{
		id: id, serial: fmt.Sprint(1000000000 + len(s.tenants)), state: "Running", base: s.base,
		consents: map[string]string{}, withdrawn: map[string]bool{}, synced: map[int]time.Time{},
	}
	for j, user := range []User{{Name: "tove", FullName: "Tove Admin", Administrator: true}, {Name: "per", FullName: "Per Person"}} {
		user.UPN, user.Password, user.AssociateID = user.Name+"@"+name+".example", random(9), 10+j
		t.users = append(t.users, user)
	}
	for _, app := range s.apps {
		if app.SystemUser {
			t.consents[app.Name] = newSystemToken(app.Name)
		}
	}
	s.tenants = append(s.tenants, t)
	s.byID[strings.ToLower(id)] = t
}

// newSystemToken has spaces in it, as real ones have.
func newSystemToken(app string) string { return "Sandbox " + app + "-" + random(10) }

// tenant finds by id without case; s.mu is held.
func (s *Sandbox) tenant(id string) *tenant { return s.byID[strings.ToLower(id)] }

func (t *tenant) running() bool { return t.state == "Running" || t.state == "OnlineMaintenance" }

// approved reports whether the tenant's administrator lets the app in.
func (t *tenant) approved(app App) bool {
	if app.SystemUser {
		return t.consents[app.Name] != ""
	}
	return !t.withdrawn[app.Name]
}

// path returns the tenant's part of a URL; s.mu is held.
func (s *Sandbox) path(t *tenant) string {
	if s.switches.TenantPath == "lower" {
		return strings.ToLower(t.id)
	}
	return t.id
}

// api returns the tenant's WebAPI as the state service tells it, without a trailing slash; s.mu is held.
func (s *Sandbox) api(t *tenant) string { return t.base + "/" + s.path(t) + "/api" }

// User returns a person of a tenant by logon name.
func (s *Sandbox) User(tenantID, name string) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenant(tenantID); t != nil {
		for _, u := range t.users {
			if u.Name == name {
				return u
			}
		}
	}
	return User{}
}

// Tenants returns the ids of all tenants.
func (s *Sandbox) Tenants() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		ids = append(ids, t.id)
	}
	return ids
}

// SystemToken returns what an approval of the app at the tenant has brought; "" if it is not approved.
func (s *Sandbox) SystemToken(app, tenantID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenant(tenantID).consents[app]
}

// SetState sets a tenant's state: Running, Suspended, OfflineMaintenance, …
func (s *Sandbox) SetState(tenantID, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenant(tenantID).state = state
}

// Move has a tenant live at another base; calls for it that arrive elsewhere answer 421.
func (s *Sandbox) Move(tenantID, base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenant(tenantID).base = base
}

// Revoke takes an app's approval at a tenant back. What becomes of credentials that are out is the switch withdrawn_tokens.
func (s *Sandbox) Revoke(app, tenantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(tenantID)
	delete(t.consents, app)
	t.withdrawn[app] = true
	s.changes++
}

// Approve approves an app at a tenant without a person, with a new system token if the app has a system user.
func (s *Sandbox) Approve(app, tenantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.app(app); a != nil {
		s.tenant(tenantID).approve(*a)
		s.changes++
	}
}

func (t *tenant) approve(app App) {
	delete(t.withdrawn, app.Name)
	if app.SystemUser {
		t.consents[app.Name] = newSystemToken(app.Name)
	}
}

// serveState is the state service, which asks for no credential.
func (s *Sandbox) serveState(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	failure := s.switches.StateFault
	s.mu.Unlock()
	if fail(w, r, failure) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(id)
	if t == nil {
		http.Error(w, `"unknown"`, http.StatusNotFound)
		return
	}
	validFor := s.switches.StateValidFor
	if validFor == 0 {
		validFor = time.Hour
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"ContextIdentifier": t.id, "Endpoint": t.base, "State": t.state, "IsRunning": t.running(),
		"ValidUntil": s.now().UTC().Add(validFor).Format("2006-01-02T15:04:05.0000000Z"), "Api": s.api(t), "Version": "12.4",
	})
}

// fail answers with a failure that any endpoint can be asked for and reports whether there was one.
func fail(w http.ResponseWriter, r *http.Request, failure string) bool {
	switch failure {
	case "404":
		http.NotFound(w, r)
	case "500":
		fault(w, http.StatusInternalServerError, "aspnet", "", "An error has occurred.")
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title><p>This is a page (sandbox).</p>")
	case "hang":
		hang(r)
	default:
		return false
	}
	return true
}

// hang never answers: it waits for the caller to leave.
func hang(r *http.Request) {
	// Only behind the body's end does the server notice that a caller has left.
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}
