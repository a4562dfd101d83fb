// Package storetest says what every session store has to do.
package storetest

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Run tries a store out. newStore gives an empty one.
func Run(t *testing.T, newStore func(t *testing.T) session.Store) {
	for name, promise := range map[string]func(*testing.T, session.Store){
		"a session is found by its token until it is ended":  found,
		"a session ends at its time":                         expires,
		"concurrent updates lose nothing":                    concurrent,
		"a write over a newer one is refused":                conflict,
		"the oldest of too many sessions of a person go":     perPerson,
		"a person, a tenant or an app is signed out at once": revoked,
		"sessions are counted by what they belong to":        counted,
		"a stolen store opens nothing and names nobody":      stolen,
		"a session that was signed out does not come back":   ended,
		"a person is found whichever key of the ring it was": rotated,
		"a person is one with and without a UPN":             oneByTwoNames,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			promise(t, newStore(t))
		})
	}
}

func manager(t *testing.T, store session.Store, secrets ...string) *session.Manager {
	t.Helper()
	if len(secrets) == 0 {
		secrets = []string{"a"}
	}
	var ring [][]byte
	for _, secret := range secrets {
		ring = append(ring, bytes.Repeat([]byte(secret), session.MinKey))
	}
	keys, err := session.NewKeys(ring...)
	if err != nil {
		t.Fatal(err)
	}
	return &session.Manager{Keys: keys, Store: store, Idle: time.Hour, Lifetime: 2 * time.Hour}
}

func person(app, tenant, upn string) session.Session {
	return session.Session{App: app, Tenant: superoffice.Tenant(tenant), UPN: upn, Access: auth.NewSecret("canary-access"), Refresh: auth.NewSecret("canary-refresh")}
}

func start(t *testing.T, m *session.Manager, s session.Session) session.Token {
	t.Helper()
	token, _, err := m.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func alive(t *testing.T, m *session.Manager, token session.Token) bool {
	t.Helper()
	_, found, err := m.Load(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func found(t *testing.T, store session.Store) {
	m := manager(t, store)
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	s, found, err := m.Load(t.Context(), token)
	if err != nil || !found || s.UPN != "tove@uno.example" || s.App != "portal" || string(s.Tenant) != "Cust1" || s.Access.Reveal() != "canary-access" {
		t.Fatalf("%+v, %v", s, err)
	}
	if alive(t, m, m.Keys.Issue()) {
		t.Error("a token without a session finds one")
	}
	if err := m.End(t.Context(), token); err != nil || alive(t, m, token) {
		t.Errorf("after its end: %v", err)
	}
	if err := m.End(t.Context(), token); err != nil {
		t.Errorf("ending it again: %v", err)
	}
}

func expires(t *testing.T, store session.Store) {
	m := manager(t, store)
	m.Idle, m.Lifetime = 30*time.Millisecond, 30*time.Millisecond
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	patient := manager(t, store) // the store forgets by itself, whatever the manager thinks
	for deadline := time.Now().Add(time.Minute); alive(t, patient, token); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is there still")
		}
	}
}

func concurrent(t *testing.T, store session.Store) {
	m := manager(t, store)
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if _, found, err := m.Update(t.Context(), token, func(s *session.Session) { s.AssociateID++ }); err != nil || !found {
				t.Error(found, err)
			}
		})
	}
	group.Wait()
	if s, _, _ := m.Load(t.Context(), token); s.AssociateID != 30 {
		t.Errorf("%d of 30", s.AssociateID)
	}
}

func conflict(t *testing.T, store session.Store) {
	m := manager(t, store)
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	record, found, err := store.Get(t.Context(), token.Place())
	if err != nil || !found {
		t.Fatal(err)
	}
	put := func(name string, place session.Place, want session.PutResult) {
		t.Helper()
		if got, err := store.Put(t.Context(), place, record); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	put("the version that is there", token.Place(), session.Written)
	put("an old version", token.Place(), session.Conflict)
	put("a record that is not there", m.Keys.Issue().Place(), session.Gone)
}

func perPerson(t *testing.T, store session.Store) {
	m := manager(t, store)
	m.PerPerson = 2
	other := start(t, m, person("portal", "Cust1", "per@uno.example"))
	first := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	pause()
	second := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	pause()
	if err := m.End(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	third := start(t, m, person("portal", "Cust1", "Tove@uno.example"))
	if !alive(t, m, first) || !alive(t, m, third) {
		t.Error("a session that was ended counts still")
	}
	pause()
	fourth := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	if alive(t, m, first) || !alive(t, m, third) || !alive(t, m, fourth) || !alive(t, m, other) {
		t.Error("not the oldest of that person went")
	}
}

// pause lets a store's clock go on by what it can tell apart.
func pause() { time.Sleep(3 * time.Millisecond) }

func counted(t *testing.T, store session.Store) {
	m := manager(t, store)
	for _, who := range []session.Session{
		person("portal", "Cust1", "tove@uno.example"), person("portal", "Cust1", "tove@uno.example"), person("other", "Cust1", "per@uno.example"), person("portal", "Cust2", "ada@dos.example"),
	} {
		start(t, m, who)
	}
	ended := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	if err := m.End(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	check := func(name string, want, got int, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %d, want %d; %v", name, got, want, err)
		}
	}
	all := func(app, tenant, upn int) {
		t.Helper()
		n, err := m.CountApp(t.Context(), "portal")
		check("app", app, n, err)
		n, err = m.CountTenant(t.Context(), "Cust1")
		check("tenant", tenant, n, err)
		n, err = m.CountPerson(t.Context(), "Cust1", "TOVE@uno.example")
		check("person", upn, n, err)
	}
	all(3, 3, 2)
	if err := m.RevokePerson(t.Context(), "Cust1", "tove@uno.example"); err != nil {
		t.Fatal(err)
	}
	all(1, 1, 0)
	rotated := manager(t, store, "b", "a")
	start(t, rotated, person("portal", "Cust1", "per@uno.example"))
	n, err := rotated.CountPerson(t.Context(), "Cust1", "per@uno.example")
	check("under both keys of the ring", 2, n, err)
}

func revoked(t *testing.T, store session.Store) {
	m := manager(t, store)
	for name, c := range map[string]struct {
		revoke func() error
		stays  session.Session
	}{
		"person": {func() error { return m.RevokePerson(t.Context(), "Cust1", "TOVE@uno.example") }, person("portal", "Cust1", "per@uno.example")},
		"tenant": {func() error { return m.RevokeTenant(t.Context(), "Cust1") }, person("portal", "Cust2", "tove@uno.example")},
		"app":    {func() error { return m.RevokeApp(t.Context(), "portal") }, person("other", "Cust1", "tove@uno.example")},
	} {
		goes, stays := start(t, m, person("portal", "Cust1", "tove@uno.example")), start(t, m, c.stays)
		version, found, err := store.Get(t.Context(), goes.Place())
		if err != nil || !found {
			t.Fatal(err)
		}
		mark := func(s session.Session) string {
			t.Helper()
			mark, err := m.RevocationEpoch(t.Context(), s.App, s.Tenant, s.UPN)
			if err != nil {
				t.Fatal(err)
			}
			return mark
		}
		goesBefore, staysBefore := mark(person("portal", "Cust1", "tove@uno.example")), mark(c.stays)
		if err := c.revoke(); err != nil {
			t.Fatal(err)
		}
		if mark(person("portal", "Cust1", "tove@uno.example")) == goesBefore || mark(c.stays) != staysBefore {
			t.Errorf("%s: the marks do not tell what was revoked", name)
		}
		if alive(t, m, goes) || !alive(t, m, stays) {
			t.Errorf("%s: the wrong session ended", name)
		}
		if result, err := store.Put(t.Context(), goes.Place(), version); err != nil || result != session.Gone {
			t.Errorf("%s: a revoked session was written: %v, %v", name, result, err)
		}
		pause()
		if !alive(t, m, start(t, m, person("portal", "Cust1", "tove@uno.example"))) {
			t.Errorf("%s: nobody can sign in again", name)
		}
		pause()
	}
}

// tove is a session of one person, of whom SuperID has told that UPN and that associate id.
func tove(upn string, associate int) session.Session {
	s := person("portal", "Cust1", upn)
	s.AssociateID = associate
	return s
}

func oneByTwoNames(t *testing.T, store session.Store) {
	m := manager(t, store)
	m.PerPerson = 3
	const upn, id = "tove@uno.example", 7
	oldest := start(t, m, tove(upn, id))
	pause()
	both, without, other := start(t, m, tove(upn, id)), start(t, m, tove("", id)), start(t, m, tove("per@uno.example", 8))
	count := func(s session.Session, want int) {
		t.Helper()
		if n, err := m.CountSame(t.Context(), s); err != nil || n != want {
			t.Errorf("%s: %d sessions, want %d; %v", s.Person(), n, want, err)
		}
	}
	count(tove(upn, id), 3)
	count(tove("", id), 3)
	count(tove("per@uno.example", 8), 1)
	count(tove("ada@uno.example", 9), 0)
	pause()
	start(t, m, tove("", id))
	if alive(t, m, oldest) {
		t.Error("the bound does not count what was begun under the other name")
	}
	if err := m.RevokePerson(t.Context(), "Cust1", auth.Associate(id)); err != nil {
		t.Fatal(err)
	}
	if alive(t, m, both) || alive(t, m, without) || !alive(t, m, other) {
		t.Errorf("by associate id: %v %v, the other %v", alive(t, m, both), alive(t, m, without), alive(t, m, other))
	}
	count(tove(upn, id), 0)
	pause()
	both, without = start(t, m, tove(upn, id)), start(t, m, tove("", id))
	if err := m.RevokePerson(t.Context(), "Cust1", upn); err != nil {
		t.Fatal(err)
	}
	if alive(t, m, both) || !alive(t, m, without) || !alive(t, m, other) {
		t.Errorf("by UPN: %v, the one that has none %v, the other %v", alive(t, m, both), alive(t, m, without), alive(t, m, other))
	}
	count(tove(upn, id), 1)
	n, err := m.CountTenant(t.Context(), "Cust1")
	if err != nil || n != 2 {
		t.Errorf("of the tenant %d, %v", n, err)
	}
	if n, err := m.CountPerson(t.Context(), "Cust1", auth.Associate(id)); err != nil || n != 1 { // whose two names are one scope
		t.Errorf("under the associate id %d, %v", n, err)
	}
	rotated := manager(t, store, "b", "a")
	start(t, rotated, tove(upn, id))
	if n, err := rotated.CountSame(t.Context(), tove(upn, id)); err != nil || n != 2 {
		t.Errorf("under both keys of the ring %d, %v", n, err)
	}
}

func stolen(t *testing.T, store session.Store) {
	m := manager(t, store)
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	record, found, err := store.Get(t.Context(), token.Place())
	if err != nil || !found {
		t.Fatal(err)
	}
	if bytes.Contains(record.Sealed, []byte("canary")) || bytes.Contains(record.Sealed, []byte("tove")) {
		t.Error("the record holds its secrets in clear")
	}
	record.Tenant = "Cust2"
	if result, err := store.Put(t.Context(), token.Place(), record); err == nil && result == session.Written && alive(t, m, token) {
		if s, _, _ := m.Load(t.Context(), token); string(s.Tenant) != "Cust1" {
			t.Error("a record that was moved to another tenant opens")
		}
	}
}

func ended(t *testing.T, store session.Store) {
	m := manager(t, store)
	token := start(t, m, person("portal", "Cust1", "tove@uno.example"))
	_, found, err := m.Update(t.Context(), token, func(*session.Session) {
		if err := m.End(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
	if found || err != nil || alive(t, m, token) {
		t.Errorf("a session that was signed out while it was renewed: %v, %v", found, err)
	}
}

func rotated(t *testing.T, store session.Store) {
	before, after := manager(t, store, "a"), manager(t, store, "b", "a")
	token := start(t, before, person("portal", "Cust1", "tove@uno.example"))
	if !alive(t, after, token) {
		t.Error("the old key opens no more")
	}
	if err := after.RevokePerson(t.Context(), "Cust1", "tove@uno.example"); err != nil || alive(t, after, token) {
		t.Errorf("a session of the old key was not signed out: %v", err)
	}
}
