package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// ControlPath is where the sandbox is told how to behave: GET shows how it stands, POST takes an Order.
// It serves programs on this machine alone.
const ControlPath = "/sandbox/control"

// Order is what a POST to the control endpoint asks for, in this order.
type Order struct {
	// Reset sets every switch to its default first.
	Reset bool `json:"reset,omitempty"`
	// Switches are set by name; those that are not named stay.
	Switches json.RawMessage `json:"switches,omitempty"`
	Actions  []Action        `json:"actions,omitempty"`
}

// Action is something that happens at SuperOffice once.
type Action struct {
	// Do is one of the names in actions.
	Do     string `json:"do"`
	Tenant string `json:"tenant,omitempty"`
	App    string `json:"app,omitempty"`
	// Base is where move has the tenant live.
	Base string `json:"base,omitempty"`
	// State is what state sets.
	State string `json:"state,omitempty"`
	// Kind is what expire ends: access, refresh, ticket or session.
	Kind string `json:"kind,omitempty"`
	// Keep has rotate_signing_key leave the old key published.
	Keep bool  `json:"keep,omitempty"`
	Push *Push `json:"push,omitempty"`
}

// actions are what Action.Do may be, with what each needs.
var actions = map[string]struct {
	tenant, app bool
	run         func(context.Context, *Sandbox, Action) ([]PushAnswer, error)
}{
	"state": {tenant: true, run: quiet(func(s *Sandbox, a Action) error {
		if a.State == "" {
			return errors.New("needs state, such as Suspended")
		}
		s.SetState(a.Tenant, a.State)
		return nil
	})},
	"move": {tenant: true, run: quiet(func(s *Sandbox, a Action) error {
		if a.Base == "" {
			return errors.New("needs base, such as http://localhost:8088")
		}
		s.Move(a.Tenant, strings.TrimSuffix(a.Base, "/"))
		return nil
	})},
	"withdraw_consent": {tenant: true, app: true, run: quiet(func(s *Sandbox, a Action) error { s.Revoke(a.App, a.Tenant); return nil })},
	"approve":          {tenant: true, app: true, run: quiet(func(s *Sandbox, a Action) error { s.Approve(a.App, a.Tenant); return nil })},
	"expire": {run: quiet(func(s *Sandbox, a Action) error {
		if !slices.Contains([]string{"access", "refresh", "ticket", "session"}, a.Kind) {
			return fmt.Errorf("kind %q is none of access, refresh, ticket, session", a.Kind)
		}
		s.Expire(a.Kind)
		return nil
	})},
	"rotate_signing_key": {run: quiet(func(s *Sandbox, a Action) error { return s.RotateSigningKey(a.Keep) })},
	"rotate_secret":      {app: true, run: quiet(func(s *Sandbox, a Action) error { s.RotateSecret(a.App); return nil })},
	"rotate_key":         {app: true, run: quiet(func(s *Sandbox, a Action) error { return s.RotateKey(a.App) })},
	"forget":             {run: quiet(func(s *Sandbox, _ Action) error { s.Forget(); return nil })},
	"push": {run: func(ctx context.Context, s *Sandbox, a Action) ([]PushAnswer, error) {
		if a.Push == nil {
			return nil, errors.New(`needs push, such as {"url":"http://localhost:8080/erpsync/tenant-status","tenant":"Cust12345","change":"Suspend"}`)
		}
		return s.Push(ctx, *a.Push)
	}},
}

func quiet(run func(*Sandbox, Action) error) func(context.Context, *Sandbox, Action) ([]PushAnswer, error) {
	return func(_ context.Context, s *Sandbox, a Action) ([]PushAnswer, error) { return nil, run(s, a) }
}

// Control carries an order in JSON out, as a POST to the control endpoint does. A mistake in the switches changes
// nothing; actions that precede one that fails were carried out.
func (s *Sandbox) Control(ctx context.Context, raw []byte) (pushed []PushAnswer, err error) {
	var order Order
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&order); err != nil {
		return nil, fmt.Errorf("the order is not understood: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the order is not understood: something follows it")
	}
	if err := s.order(order); err != nil {
		return nil, err
	}
	for i, a := range order.Actions {
		answers, err := s.act(ctx, a)
		if err != nil {
			return pushed, fmt.Errorf("action %d (%s): %w", i+1, a.Do, err)
		}
		pushed = append(pushed, answers...)
	}
	return pushed, nil
}

// order sets the switches of an order.
func (s *Sandbox) order(order Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.switches
	if order.Reset {
		changed = Switches{}
	}
	if order.Switches != nil {
		if err := changed.UnmarshalJSON(order.Switches); err != nil {
			return err
		}
	}
	s.switches = changed
	return nil
}

func (s *Sandbox) act(ctx context.Context, a Action) ([]PushAnswer, error) {
	action, ok := actions[a.Do]
	if !ok {
		return nil, fmt.Errorf("there are only %s", strings.Join(slices.Sorted(maps.Keys(actions)), ", "))
	}
	s.mu.Lock()
	known := (!action.tenant || s.tenant(a.Tenant) != nil) && (!action.app || s.app(a.App) != nil)
	s.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("no such tenant or app: tenant %q, app %q", a.Tenant, a.App)
	}
	return action.run(ctx, s, a)
}

// status is how the sandbox stands, without a secret.
type status struct {
	Base     string         `json:"base"`
	Onsite   string         `json:"onsite,omitempty"`
	Switches Switches       `json:"switches"`
	Tenants  []tenantStatus `json:"tenants"`
	Requests int            `json:"requests"`
	Runs     []Run          `json:"runs"`
	Mints    map[string]int `json:"mints"`
	Pushed   []PushAnswer   `json:"pushed,omitempty"`
}

type tenantStatus struct {
	Tenant   string   `json:"tenant"`
	State    string   `json:"state"`
	Base     string   `json:"base"`
	Approved []string `json:"approved"`
}

func (s *Sandbox) status() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := status{Base: s.base, Onsite: s.onsite, Switches: s.switches, Requests: len(s.requests), Runs: slices.Clone(s.runs), Mints: maps.Clone(s.mints)}
	for _, t := range s.tenants {
		of := tenantStatus{Tenant: t.id, State: t.state, Base: t.base, Approved: []string{}}
		for _, app := range s.apps {
			if t.approved(app) {
				of.Approved = append(of.Approved, app.Name)
			}
		}
		out.Tenants = append(out.Tenants, of)
	}
	return out
}

func (s *Sandbox) serveControl(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, message string) { writeJSON(w, status, map[string]string{"error": message}) }
	if !controls(r) {
		refuse(http.StatusForbidden, "the control endpoint serves programs on this machine alone")
		return
	}
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, s.status())
	case http.MethodPost:
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			refuse(http.StatusRequestEntityTooLarge, "the order is longer than 1 MiB")
			return
		}
		pushed, err := s.Control(r.Context(), raw)
		if err != nil {
			refuse(http.StatusBadRequest, err.Error())
			return
		}
		out := s.status()
		out.Pushed = pushed
		writeJSON(w, http.StatusOK, out)
	default:
		w.Header().Set("Allow", "GET, POST")
		refuse(http.StatusMethodNotAllowed, "use GET or POST")
	}
}

// controls reports whether a request comes from a program on this machine. A browser is refused, since any page could have
// it post here; so is a name that is not this machine's, which a page could have rebound.
func controls(r *http.Request) bool {
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(remote)
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return err == nil && ip != nil && ip.IsLoopback() && isLoopback(strings.Trim(host, "[]")) &&
		r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("X-Forwarded-For") == ""
}
