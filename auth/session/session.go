package session

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Session is a signed-in person.
type Session struct {
	App    string
	Tenant superoffice.Tenant
	// UPN names the person; "" where the id_token had none, so that Person is told by AssociateID.
	UPN           string
	FullName      string
	AssociateID   int
	Administrator bool

	// Access is the person's SuperOffice token, good until AccessExpires.
	Access        auth.Secret
	AccessIssued  time.Time
	AccessExpires time.Time
	Refresh       auth.Secret
	// API is the WebAPI that the token was issued for; "" where the id_token did not say.
	API string
	// Redirect is the redirect address of the sign-in, which SuperID may want again at a refresh; "" where it is not known.
	Redirect string

	Created time.Time
	Used    time.Time

	// Version is that of the record that the session was read from or written to, as far as it is known; 0: of none yet.
	Version uint64
}

// RenewAt is when the token is to be renewed: ahead of its end, or a fifth of its life where that is shorter.
func (s Session) RenewAt(ahead time.Duration) time.Time {
	if fifth := s.AccessExpires.Sub(s.AccessIssued) / 5; fifth < ahead {
		ahead = fifth
	}
	return s.AccessExpires.Add(-ahead)
}

// Principal is the session's person as a caller.
func (s Session) Principal() auth.Principal {
	return auth.Principal{Scheme: auth.BrowserSession, App: s.App, Tenant: s.Tenant, ID: s.Person(), AssociateID: s.AssociateID, Administrator: s.Administrator}
}

// Person names the person within the tenant: by UPN, or by the associate id.
func (s Session) Person() string { return auth.PersonName(s.UPN, s.AssociateID) }

// Names returns every name under which the person can have sessions: SuperID may have told the UPN at one sign-in and
// not at another.
func (s Session) Names() []string {
	names := []string{s.Person()}
	if s.UPN != "" && s.AssociateID > 0 {
		names = append(names, auth.Associate(s.AssociateID))
	}
	return names
}

// Record is a session as a store keeps it: what a sign-out of many has to find
// in clear, everything else sealed under bits that only the cookie has.
type Record struct {
	App     string
	Tenant  string
	Scopes  Scopes
	Sealed  []byte
	Used    time.Time
	Expires time.Time // the store forgets it then
	Version uint64    // counts the record's writes
}

// Scopes are what a session belongs to, and can be ended with: its app, its
// tenant, its person by UPN and its person by associate id, in this order. A person of whom one of the two is not known
// occurs twice under the other.
type Scopes [4]Place

// Person is the scope that all sessions of a person share, whether or not SuperID told the UPN.
func (s Scopes) Person() Place { return s[len(s)-1] }

// ErrFull means that a store takes no further session.
var ErrFull = errors.New("the session store is full")

// PutResult is what writing a record came to.
type PutResult uint8

// Results of Put.
const (
	_ PutResult = iota
	// Written: the store has the record.
	Written
	// Conflict: another request wrote the record meanwhile.
	Conflict
	// Gone: there is no such session, or it has ended.
	Gone
)

// Place is the key of a record.
type Place = [32]byte

// Store keeps records. An error means that it gave no answer, and never that there is no such session.
type Store interface {
	// Get returns the record. found is false if there is none, or one of its scopes was revoked after it was added.
	Get(ctx context.Context, place Place) (record Record, found bool, err error)
	// Add keeps a new record. Of a person's records at most most stay (0: all): the oldest go.
	Add(ctx context.Context, place Place, record Record, most int) error
	// Put writes the record if the stored one still has record.Version, and counts the version up.
	Put(ctx context.Context, place Place, record Record) (PutResult, error)
	Delete(ctx context.Context, place Place) error
	// Revoke ends every record of the scope that has been added until now. keep is
	// how long that has to be remembered: as long as such a record can live.
	Revoke(ctx context.Context, scope Place, keep time.Duration) error
	// Count returns how many records of the scope are alive. It may look at every record.
	Count(ctx context.Context, scope Place) (int, error)
	// CountPerson returns how many records with that Scopes.Person are alive. It looks at the person's own alone.
	CountPerson(ctx context.Context, person Place) (int, error)
	// Marks returns when the scopes were revoked last, as a text that is another after each revocation, and after
	// the store has lost what it knew. The scopes are not asked for where nothing at all was revoked.
	Marks(ctx context.Context, scopes iter.Seq[Place]) (string, error)
}

// Defaults of a session's lifetime.
const (
	DefaultIdle     = 8 * time.Hour
	DefaultLifetime = 24 * time.Hour

	// DefaultPerPerson is how many sessions one person may have at a time.
	DefaultPerPerson = 20

	// leastRevoked is how long a revocation is remembered at least, so that a
	// longer Lifetime in the next configuration brings nobody back.
	leastRevoked = 32 * 24 * time.Hour
)

// Manager gives out, finds and ends sessions. It is cheap: each configuration
// has its own over a store that outlives it.
type Manager struct {
	Keys  *Keys
	Store Store
	// Recent remembers what was read and written; nil: nothing is. It belongs to the store, so that it outlives a configuration.
	Recent *Recent
	// Idle ends a session that is not used; Lifetime ends every one. Zero means the default.
	Idle     time.Duration
	Lifetime time.Duration
	// PerPerson bounds a person's sessions; a further one ends the oldest. Zero means the default.
	PerPerson int
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

func (m *Manager) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// Start keeps a new session under a token of its own, whatever cookie the browser had before.
func (m *Manager) Start(ctx context.Context, s Session) (Token, Session, error) {
	s.Created = m.now()
	s.Used, s.Version = s.Created, 0
	token := m.Keys.Issue()
	record := m.seal(token, s)
	names := s.Names()
	record.Scopes = Scopes{
		appScope(s.App), tenantScope(string(s.Tenant)), m.Keys.personScopes(string(s.Tenant), names[0])[0], m.Keys.personScopes(string(s.Tenant), names[len(names)-1])[0],
	}
	most := m.PerPerson
	if most == 0 {
		most = DefaultPerPerson
	}
	return token, s, m.Store.Add(ctx, token.Place(), record, most)
}

// Ends returns when the session ends if it is not used any more: one without a refresh token with its access token at the latest.
func (m *Manager) Ends(s Session) time.Time {
	ends := s.Used.Add(orDefault(m.Idle, DefaultIdle))
	if absolute := s.Created.Add(orDefault(m.Lifetime, DefaultLifetime)); absolute.Before(ends) {
		ends = absolute
	}
	if s.Refresh.IsZero() && s.AccessExpires.Before(ends) {
		ends = s.AccessExpires
	}
	return ends
}

// Load returns the token's session. found is false if there is none, or it has ended. Its use is written back at most every
// tenth of Idle, and a write that fails then ends nobody's session.
func (m *Manager) Load(ctx context.Context, token Token) (s Session, found bool, err error) {
	s, found, err = m.get(ctx, token)
	if err != nil || !found {
		return Session{}, false, err
	}
	if now := m.now(); m.writesUse(&s, now) {
		s.Used = now
		_, _ = m.put(ctx, token, &s)
	}
	return s, true, nil
}

// writesUse reports whether the use of a session now is to be written back.
func (m *Manager) writesUse(s *Session, now time.Time) bool {
	return now.Sub(s.Used) > orDefault(m.Idle, DefaultIdle)/10
}

// Recall returns the token's session as this process has read or written it lately, without asking the store. It may have
// ended or changed since, so that nobody is proved by it until the store has confirmed its Version. ok is false if none is
// remembered, or its use is to be written back: then Load has it.
func (m *Manager) Recall(token Token) (s Session, ok bool) {
	now := m.now()
	record, ok := m.Recent.get(token.Place(), now)
	if !ok {
		return Session{}, false
	}
	if s, ok = m.open(token, &record, now); !ok || m.writesUse(&s, now) {
		return Session{}, false
	}
	return s, true
}

// Update changes the token's session, and returns it as it is then. change sees the session as it is stored
// and is called again if another request was faster. found is false if there is no such session any more.
func (m *Manager) Update(ctx context.Context, token Token, change func(*Session)) (s Session, found bool, err error) {
	for {
		s, found, err := m.get(ctx, token)
		if err != nil || !found {
			return Session{}, false, err
		}
		change(&s)
		switch result, err := m.put(ctx, token, &s); {
		case err != nil:
			return s, true, err
		case result == Conflict:
			continue
		default:
			return s, result == Written, nil
		}
	}
}

// End forgets the session. Ending one that has ended is no error.
func (m *Manager) End(ctx context.Context, token Token) error {
	place := token.Place()
	defer m.Recent.drop(place)
	return m.Store.Delete(ctx, place)
}

// RevokeApp ends every session of the app.
func (m *Manager) RevokeApp(ctx context.Context, app string) error {
	return m.revoke(ctx, appScope(app))
}

// RevokeTenant ends every session of the tenant's people, whatever the app.
func (m *Manager) RevokeTenant(ctx context.Context, tenant superoffice.Tenant) error {
	return m.revoke(ctx, tenantScope(string(tenant)))
}

// RevokePerson ends every session of the person, whatever the app.
func (m *Manager) RevokePerson(ctx context.Context, tenant superoffice.Tenant, upn string) error {
	return m.revoke(ctx, m.Keys.personScopes(string(tenant), upn)...)
}

// CountApp returns how many sessions the app has.
func (m *Manager) CountApp(ctx context.Context, app string) (int, error) {
	return m.count(ctx, appScope(app))
}

// CountTenant returns how many sessions the tenant's people have, whatever the app.
func (m *Manager) CountTenant(ctx context.Context, tenant superoffice.Tenant) (int, error) {
	return m.count(ctx, tenantScope(string(tenant)))
}

// CountPerson returns how many sessions the person has, whatever the app.
func (m *Manager) CountPerson(ctx context.Context, tenant superoffice.Tenant, upn string) (int, error) {
	return m.count(ctx, m.Keys.personScopes(string(tenant), upn)...)
}

// CountSame returns how many sessions the session's person has, itself included, whatever the app. It costs no more
// where other people have many.
func (m *Manager) CountSame(ctx context.Context, s Session) (all int, err error) {
	names := s.Names()
	for _, person := range m.Keys.personScopes(string(s.Tenant), names[len(names)-1]) {
		n, err := m.Store.CountPerson(ctx, person)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

func (m *Manager) count(ctx context.Context, scopes ...Place) (all int, err error) {
	for _, scope := range scopes {
		n, err := m.Store.Count(ctx, scope)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// RevocationEpoch is a text that changes whenever the app, the tenant or, unless upn is "", the person is revoked. What
// was made under another mark is not to be used any more.
func (m *Manager) RevocationEpoch(ctx context.Context, app string, tenant superoffice.Tenant, upn string) (string, error) {
	return m.Store.Marks(ctx, m.scopes(app, tenant, upn))
}

// RevocationScopes returns the scopes of which RevocationEpoch is made: the app, the tenant and, unless upn is "", the person.
func (m *Manager) RevocationScopes(app string, tenant superoffice.Tenant, upn string) []Place {
	return slices.Collect(m.scopes(app, tenant, upn))
}

func (m *Manager) scopes(app string, tenant superoffice.Tenant, upn string) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		if !yield(appScope(app)) || tenant != superoffice.Onsite && !yield(tenantScope(string(tenant))) || upn == "" {
			return
		}
		for _, scope := range m.Keys.personScopes(string(tenant), upn) {
			if !yield(scope) {
				return
			}
		}
	}
}

func (m *Manager) revoke(ctx context.Context, scopes ...Place) error {
	for _, scope := range scopes {
		if err := m.Store.Revoke(ctx, scope, max(orDefault(m.Lifetime, DefaultLifetime), leastRevoked)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) get(ctx context.Context, token Token) (s Session, found bool, err error) {
	place := token.Place()
	record, found, err := m.Store.Get(ctx, place)
	if err != nil {
		return Session{}, false, err
	}
	now := m.now()
	if found {
		m.Recent.put(place, &record, now) // sealed: before it is opened in place
		s, found = m.open(token, &record, now)
	}
	if !found {
		m.Recent.drop(place)
		return Session{}, false, nil
	}
	return s, true, nil
}

// open reads a record, which is not to be used any more. ok is false if it is of another cookie's, or its session has ended.
func (m *Manager) open(token Token, record *Record, now time.Time) (s Session, ok bool) {
	plaintext, err := token.open(record.App, record.Tenant, record.Sealed)
	if err != nil {
		return Session{}, false
	}
	s = Session{App: record.App, Tenant: superoffice.Tenant(record.Tenant), Used: record.Used, Version: record.Version}
	if !s.readForm(plaintext) || !now.Before(m.Ends(s)) {
		return Session{}, false
	}
	return s, true
}

// put writes a session that has been read, and counts its version up.
func (m *Manager) put(ctx context.Context, token Token, s *Session) (PutResult, error) {
	place, record := token.Place(), m.seal(token, *s)
	result, err := m.Store.Put(ctx, place, record)
	if err != nil || result != Written {
		m.Recent.drop(place) // it is another now, or may be
		return result, err
	}
	s.Version++
	record.Version = s.Version
	m.Recent.put(place, &record, m.now())
	return result, nil
}

func (m *Manager) seal(token Token, s Session) Record {
	return Record{
		App: s.App, Tenant: string(s.Tenant), Sealed: token.seal(s.App, string(s.Tenant), s.form()), Used: s.Used, Expires: m.Ends(s), Version: s.Version,
	}
}
