// Package sandbox is a stand-in for SuperOffice Online and onsite: SuperID, the
// system user's login, the tenant state service and the WebAPI with its ErpSync
// agent. The quick start and the tests run against it; no production build
// contains it. It is written from what is known of SuperOffice, shares no code with
// the gateway, and refuses what SuperOffice refuses. What nobody documents is a switch.
package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names a key
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// App is a registration in SuperOffice's developer portal.
type App struct {
	Name         string
	ClientID     string
	ClientSecret string
	Key          *rsa.PrivateKey
	// Agents are the restricted agents that SuperOffice granted.
	Agents []string
	// RedirectURIs are compared exactly; none admits any on loopback.
	RedirectURIs []string
	// SystemUser tells that administrators approve a system user with the app.
	SystemUser bool
}

// User is somebody at a tenant.
type User struct {
	Name, UPN, Password, FullName string
	AssociateID                   int
	Administrator                 bool
}

type tenant struct {
	id        string
	serial    string
	state     string
	base      string // where its WebAPI is told to live
	users     []User
	consents  map[string]string // app name → system token
	connected map[int]string
}

// Recorded is a request as it arrived at the WebAPI.
type Recorded struct {
	Method string
	URI    string
	Header http.Header
	Body   []byte
}

// Switches are the behaviours that no source documents. They may be changed at
// any time through Sandbox.Switch.
type Switches struct {
	// Refusal is how a restricted agent is refused: "error", "message",
	// "aspnet", "empty" (all 403) or "unauthorized" (401).
	Refusal string
	// NoCurrentToken has User/currentToken answer 404.
	NoCurrentToken bool
	// NumericIAT writes iat as a number; SuperOffice has been seen to write a string.
	NumericIAT bool
	// TokenKid puts a kid into token headers; hex or base64url, or "" for x5t alone.
	TokenKid string
	// KeysInCertificates gives the signing key as x5c alone, in an X.509 v1 certificate.
	KeysInCertificates bool
	// AudienceInList writes aud as a list.
	AudienceInList bool
	// AccessLifetime is how long access tokens live; 0 is an hour.
	AccessLifetime time.Duration
	// ApprovalError is how SuperID ends every sign-in of an app with a system user: the error and,
	// behind a space, its description. Empty: as the person decides.
	ApprovalError string
	// OneRefusal refuses a system token that is wrong with the words for one whose consent has expired.
	OneRefusal bool
	// TokenOnApprovalOnly gives the system_token claim to the administrator who just approved, and to none
	// who signs in later.
	TokenOnApprovalOnly bool
	// ExpiresInText writes expires_in as a string.
	ExpiresInText bool
}

// Answer is what the agent answers in place of its own.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	// Hold keeps the answer back until it is closed or the caller leaves.
	Hold <-chan struct{}
	// Abort closes the connection after the body instead of ending the answer.
	Abort bool
}

const maxRecorded = 1000

// Sandbox is one SuperOffice. It is safe for concurrent use.
type Sandbox struct {
	base   string
	onsite string
	now    func() time.Time
	key    *rsa.PrivateKey
	// further is how many tenants there are beside the two.
	further int

	mu       sync.Mutex
	switches Switches
	apps     []App
	tenants  []*tenant
	byID     map[string]*tenant // by lower-case id
	codes    map[string]grant
	attempts map[string]attempt
	tokens   map[string]holder // access tokens, tickets, refresh tokens, sessions
	answer   func(operation string, connection int) *Answer
	requests []Recorded
	runs     []Run
	mints    map[string]int
}

// Run is an operation that the agent carried out.
type Run struct {
	Tenant, Operation, Who string
	Connection             int
	Keys                   []int
}

// holder says whose a credential is.
type holder struct {
	kind    string // access, refresh, ticket, session
	tenant  string
	app     string
	user    User
	system  bool
	xsrf    string
	expires time.Time
}

// Option changes a sandbox when it is made.
type Option func(*Sandbox)

// WithClock replaces the system's clock.
func WithClock(now func() time.Time) Option { return func(s *Sandbox) { s.now = now } }

// WithOnsite serves an onsite WebAPI below directory ("/crm7") for the users of
// the first tenant: no tenant in paths, no SO-AppToken, Basic taken.
func WithOnsite(directory string) Option { return func(s *Sandbox) { s.onsite = directory } }

// WithTenants adds that many tenants, Cust20001 and on, which have approved what Cust12345 has.
func WithTenants(count int) Option { return func(s *Sandbox) { s.further = count } }

// FurtherTenant is the id of one of WithTenants' tenants, from 0.
func FurtherTenant(i int) string { return fmt.Sprintf("Cust%d", 20001+i) }

// New makes a sandbox that will be reached at base (http://127.0.0.1:8088, no
// trailing slash), with keys, secrets and passwords made on the spot: the apps portal and erp, which are
// granted the ErpSync agent, quote, which is not, and the tenants Cust12345 and Cust54321.
func New(base string, options ...Option) (*Sandbox, error) {
	s := &Sandbox{
		base: base, now: time.Now, codes: map[string]grant{}, attempts: map[string]attempt{}, tokens: map[string]holder{}, mints: map[string]int{}, byID: map[string]*tenant{},
	}
	for _, option := range options {
		option(s)
	}
	var err error
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	for _, app := range []App{
		{Name: "portal", Agents: []string{"ErpSync"}},
		{Name: "erp", Agents: []string{"ErpSync"}, SystemUser: true},
		{Name: "quote", SystemUser: true},
	} {
		app.ClientID, app.ClientSecret = random(16), random(24)
		if app.Key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
		s.apps = append(s.apps, app)
	}
	s.addTenant("Cust12345", "uno")
	s.addTenant("Cust54321", "dos")
	for i := range s.further {
		s.addTenant(FurtherTenant(i), fmt.Sprint("t", i))
	}
	return s, nil
}

func (s *Sandbox) addTenant(id, name string) {
	t := &tenant{id: id, serial: fmt.Sprint(1000000000 + len(s.tenants)), state: "Running", base: s.base, consents: map[string]string{}, connected: map[int]string{612: "Visma", 613: "Failing ERP"}}
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

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Base is where the sandbox is reached.
func (s *Sandbox) Base() string { return s.base }

// App gives a registration by name; the zero App if there is none.
func (s *Sandbox) App(name string) App {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, app := range s.apps {
		if app.Name == name {
			return app
		}
	}
	return App{}
}

// User gives a person of a tenant by logon name.
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

// Tenants are the ids of all tenants.
func (s *Sandbox) Tenants() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		ids = append(ids, t.id)
	}
	return ids
}

// SystemToken is what an approval of the app at the tenant has brought; "" if it is not approved.
func (s *Sandbox) SystemToken(app, tenantID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenant(tenantID).consents[app]
}

// Switch changes undocumented behaviour.
func (s *Sandbox) Switch(change func(*Switches)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.switches)
}

// Answer has the agent answer what f gives in place of its own; nil lets it be.
func (s *Sandbox) Answer(f func(operation string, connection int) *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
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

// Revoke takes an app's approval at a tenant back.
func (s *Sandbox) Revoke(app, tenantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tenant(tenantID).consents, app)
}

// Expire ends every credential of a kind: access, refresh, ticket or session.
func (s *Sandbox) Expire(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for value, h := range s.tokens {
		if h.kind == kind {
			delete(s.tokens, value)
		}
	}
}

// RotateSecret gives the app another client secret; the old one is void at once, as at SuperOffice.
func (s *Sandbox) RotateSecret(app string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.apps {
		if s.apps[i].Name == app {
			s.apps[i].ClientSecret = random(24)
			return s.apps[i].ClientSecret
		}
	}
	return ""
}

// RotateKey gives the app another private key; the old one is void at once, as at SuperOffice.
func (s *Sandbox) RotateKey(app string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.apps {
		if s.apps[i].Name == app {
			s.apps[i].Key = key
		}
	}
	return nil
}

// Requests are the WebAPI requests that arrived, oldest first, at most a thousand.
func (s *Sandbox) Requests() []Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Runs are the operations that the agent carried out.
func (s *Sandbox) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// Mints counts the credentials of a kind that were given out.
func (s *Sandbox) Mints(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mints[kind]
}

// Forget drops what was recorded and carried out.
func (s *Sandbox) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.runs = nil, nil
}

// Ticket signs a person in and gives their ticket, minted for an app.
func (s *Sandbox) Ticket(app, tenantID, name string) string {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(holder{kind: "ticket", tenant: tenantID, app: app, user: user})
}

// AccessToken signs a person in and gives their access token.
func (s *Sandbox) AccessToken(app, tenantID, name string) string {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(holder{kind: "access", tenant: tenantID, app: app, user: user})
}

// WebSession begins a session of SuperOffice's own web client: the value of the
// cookie ASP.NET_SessionId and the XSRF token.
func (s *Sandbox) WebSession(tenantID, name string) (cookie, xsrf string) {
	user := s.User(tenantID, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	xsrf = random(16)
	return s.issue(holder{kind: "session", tenant: tenantID, user: user, xsrf: xsrf}), xsrf
}

// tenant finds by id without case; s.mu is held.
func (s *Sandbox) tenant(id string) *tenant { return s.byID[strings.ToLower(id)] }

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
		value = "7T:" + utf16Base64(value+";"+fmt.Sprint(h.user.AssociateID)+";"+h.tenant)
	case "refresh":
		lifetime = 365 * 24 * time.Hour
	}
	h.expires = s.now().Add(lifetime)
	s.tokens[value] = h
	return value
}

func (s *Sandbox) accessLifetime() time.Duration {
	if s.switches.AccessLifetime == 0 {
		return time.Hour
	}
	return s.switches.AccessLifetime
}

func utf16Base64(text string) string {
	var b []byte
	for _, c := range []byte(text) {
		b = append(b, c, 0)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// thumbprint stands for the SHA-1 of the signing certificate.
func (s *Sandbox) thumbprint() []byte {
	sum := sha1.Sum(s.key.N.Bytes()) //nolint:gosec // names a key
	return sum[:]
}

// ServeHTTP is all of SuperOffice on one origin. Routes are found without case.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.ToLower(r.URL.Path), "/")
	segments := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case strings.HasPrefix(path, "/login/"):
		s.serveLogin(w, r, segments[1:])
	case len(segments) == 3 && segments[0] == "api" && segments[1] == "state":
		s.serveState(w, segments[2])
	case s.onsite != "" && strings.HasPrefix(path, strings.ToLower(s.onsite)+"/api/v1/"):
		s.serveAPI(w, r, s.tenants[0], strings.Split(path[len(s.onsite)+len("/api/v1/"):], "/"))
	case len(segments) > 3 && segments[1] == "api" && segments[2] == "v1":
		s.mu.Lock()
		t := s.tenant(segments[0])
		s.mu.Unlock()
		if t == nil {
			fault(w, http.StatusNotFound, "aspnet", "", "No such tenant")
			return
		}
		s.serveAPI(w, r, t, segments[3:])
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) serveState(w http.ResponseWriter, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(id)
	if t == nil {
		http.Error(w, `"unknown"`, http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"ContextIdentifier": t.id, "Endpoint": t.base, "State": t.state, "IsRunning": t.state == "Running" || t.state == "OnlineMaintenance",
		"ValidUntil": s.now().UTC().Add(time.Hour).Format("2006-01-02T15:04:05.0000000Z"), "Api": t.base + "/" + t.id + "/api", "Version": "12.4",
	})
}
