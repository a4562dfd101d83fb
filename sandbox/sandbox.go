// Package sandbox is a stand-in for SuperOffice Online and onsite: SuperID, the
// system user's login, the tenant state service and the WebAPI with its ErpSync
// agent. The quick start and the tests run against it; no production build
// contains it. It is written from what is known of SuperOffice, shares no code with
// the gateway, and refuses what SuperOffice refuses. What nobody documents, and every
// failure that it can be asked for, is a field of Switches.
package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Sandbox is one SuperOffice. It is safe for concurrent use.
type Sandbox struct {
	base   string
	onsite string
	now    func() time.Time
	// further is how many tenants there are beside the two.
	further int
	saved   []byte
	// newKey makes SuperID's keys and the apps'.
	newKey func() (*rsa.PrivateKey, error)

	mu       sync.Mutex
	switches Switches
	keys     []*rsa.PrivateKey // SuperID's; the first signs, all are published
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
	pushed   []byte // the body of the last push
	changes  int    // of what Save returns, but for tickets that were used
	onChange func()
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

// WithSwitches sets the switches that the sandbox begins with.
func WithSwitches(switches Switches) Option { return func(s *Sandbox) { s.switches = switches } }

// WithKeys takes SuperID's keys and the apps' from next, 2048 bits long, instead of making them: that takes most of the time in
// which a sandbox is made.
func WithKeys(next func() (*rsa.PrivateKey, error)) Option {
	return func(s *Sandbox) { s.newKey = next }
}

func generateKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// FurtherTenant returns the id of one of WithTenants' tenants, from 0.
func FurtherTenant(i int) string { return fmt.Sprintf("Cust%d", 20001+i) }

// New returns a sandbox that will be reached at base (http://127.0.0.1:8088, no
// trailing slash), with keys, secrets and passwords made on the spot unless WithSaved
// brings them: the apps portal and erp, which are granted the ErpSync agent, quote, which
// is not, and the tenants Cust12345 and Cust54321.
func New(base string, options ...Option) (*Sandbox, error) {
	s := &Sandbox{
		base: base, now: time.Now, newKey: generateKey, codes: map[string]grant{}, attempts: map[string]attempt{}, tokens: map[string]holder{}, mints: map[string]int{}, byID: map[string]*tenant{},
	}
	for _, option := range options {
		option(s)
	}
	if err := s.switches.Validate(); err != nil {
		return nil, err
	}
	if s.saved != nil {
		return s, s.restore(s.saved)
	}
	key, err := s.newKey()
	if err != nil {
		return nil, err
	}
	s.keys = []*rsa.PrivateKey{key}
	for _, app := range registrations() {
		app.ClientID, app.ClientSecret = random(16), random(24)
		if app.Key, err = s.newKey(); err != nil {
			return nil, err
		}
		s.apps = append(s.apps, app)
	}
	s.addTenants()
	return s, nil
}

func (s *Sandbox) addTenants() {
	s.addTenant("Cust12345", "uno")
	s.addTenant("Cust54321", "dos")
	for i := range s.further {
		s.addTenant(FurtherTenant(i), fmt.Sprint("t", i))
	}
}

// Base returns where the sandbox is reached.
func (s *Sandbox) Base() string { return s.base }

// Onsite returns the directory of the onsite WebAPI; "" means that there is none.
func (s *Sandbox) Onsite() string { return s.onsite }

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// ServeHTTP is all of SuperOffice on one origin. Routes are found without case.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	before := s.changes
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		changed, notify := s.changes != before, s.onChange
		s.mu.Unlock()
		if changed && notify != nil {
			notify()
		}
	}()
	s.route(w, r)
}

func (s *Sandbox) route(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.ToLower(r.URL.Path), "/")
	segments := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == ControlPath:
		s.serveControl(w, r)
	case strings.HasPrefix(path, "/login/"):
		s.serveLogin(w, r, segments[1:])
	case len(segments) == 3 && segments[0] == "api" && segments[1] == "state":
		s.serveState(w, r, segments[2])
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
