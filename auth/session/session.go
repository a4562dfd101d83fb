package session

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Session is a signed-in person.
type Session struct {
	App           string
	Tenant        superoffice.Tenant
	UPN           string
	FullName      string
	AssociateID   int
	Administrator bool

	// Access is the person's SuperOffice token, good until AccessExpires.
	Access        auth.Secret
	AccessExpires time.Time
	Refresh       auth.Secret
	// API is the WebAPI that the token was issued for.
	API string

	Created time.Time
	Used    time.Time
}

// sealedSession is a session's form under the seal; its secrets are in clear there.
type sealedSession struct {
	UPN           string    `json:"u"`
	FullName      string    `json:"n,omitempty"`
	AssociateID   int       `json:"i,omitempty"`
	Administrator bool      `json:"a,omitempty"`
	Access        string    `json:"t"`
	AccessExpires time.Time `json:"e"`
	Refresh       string    `json:"r,omitempty"`
	API           string    `json:"w,omitempty"`
	Created       time.Time `json:"c"`
}

// Principal is the session's person as a caller.
func (s Session) Principal() auth.Principal {
	return auth.Principal{Scheme: auth.BrowserSession, App: s.App, Tenant: s.Tenant, ID: s.UPN, AssociateID: s.AssociateID, Administrator: s.Administrator}
}

// Record is a session as a store keeps it: what a sign-out of many has to find
// in clear, everything else sealed under bits that only the cookie has.
type Record struct {
	App     string
	Tenant  string
	Sealed  []byte
	Used    time.Time
	Expires time.Time // the store forgets it then
	Version uint64    // counts the record's writes
}

// Errors of stores and the manager.
var (
	// ErrNotFound: there is no such session, or it has ended.
	ErrNotFound = errors.New("no such session")
	// ErrConflict: another request wrote the record meanwhile.
	ErrConflict = errors.New("the session was written meanwhile")
	// ErrUnavailable: the store gives no answer. The session may well exist.
	ErrUnavailable = errors.New("the session store gives no answer")
	// ErrFull: the store takes no further session.
	ErrFull = errors.New("the session store is full")
)

// Place is the key of a record.
type Place = [32]byte

// Store keeps records. Every method returns one of the errors above or nil.
type Store interface {
	Get(ctx context.Context, place Place) (Record, error)
	// Put writes the record if the stored one still has record.Version (0: if
	// there is none) and counts the version up.
	Put(ctx context.Context, place Place, record Record) error
	Delete(ctx context.Context, place Place) error
}

// Defaults of a session's lifetime.
const (
	DefaultIdle     = 8 * time.Hour
	DefaultLifetime = 24 * time.Hour
)

// Manager gives out, finds and ends sessions. It is cheap: each configuration
// has its own over a store that outlives it.
type Manager struct {
	Keys  *Keys
	Store Store
	// Idle ends a session that is not used; Lifetime ends every one. Zero means the default.
	Idle     time.Duration
	Lifetime time.Duration
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
	s.Used = s.Created
	token := m.Keys.Issue()
	err := m.put(ctx, token, s, 0)
	return token, s, err
}

// Ends tells when the session ends if it is not used any more.
func (m *Manager) Ends(s Session) time.Time {
	idle, absolute := s.Used.Add(orDefault(m.Idle, DefaultIdle)), s.Created.Add(orDefault(m.Lifetime, DefaultLifetime))
	if absolute.Before(idle) {
		return absolute
	}
	return idle
}

// Load finds the token's session. Its use is written back at most every tenth of
// Idle, and a write that fails then ends nobody's session.
func (m *Manager) Load(ctx context.Context, token Token) (Session, error) {
	s, version, err := m.get(ctx, token)
	if err != nil {
		return Session{}, err
	}
	if now := m.now(); now.Sub(s.Used) > orDefault(m.Idle, DefaultIdle)/10 {
		s.Used = now
		_ = m.put(ctx, token, s, version)
	}
	return s, nil
}

// Update changes the token's session. change sees the session as it is stored
// and is called again when another request was faster.
func (m *Manager) Update(ctx context.Context, token Token, change func(*Session)) (Session, error) {
	for {
		s, version, err := m.get(ctx, token)
		if err != nil {
			return Session{}, err
		}
		change(&s)
		if err := m.put(ctx, token, s, version); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
}

// End forgets the session. Ending one that has ended is no error.
func (m *Manager) End(ctx context.Context, token Token) error {
	return m.Store.Delete(ctx, token.Place())
}

func (m *Manager) get(ctx context.Context, token Token) (Session, uint64, error) {
	record, err := m.Store.Get(ctx, token.Place())
	if err != nil {
		return Session{}, 0, err
	}
	plaintext, err := token.open(record.App, record.Tenant, record.Sealed)
	if err != nil {
		return Session{}, 0, ErrNotFound
	}
	var in sealedSession
	if err := json.Unmarshal(plaintext, &in); err != nil {
		return Session{}, 0, ErrNotFound
	}
	s := Session{
		App: record.App, Tenant: superoffice.Tenant(record.Tenant), UPN: in.UPN, FullName: in.FullName, AssociateID: in.AssociateID, Administrator: in.Administrator,
		Access: auth.NewSecret(in.Access), AccessExpires: in.AccessExpires, Refresh: auth.NewSecret(in.Refresh), API: in.API, Created: in.Created, Used: record.Used,
	}
	if !m.now().Before(m.Ends(s)) {
		return Session{}, 0, ErrNotFound
	}
	return s, record.Version, nil
}

func (m *Manager) put(ctx context.Context, token Token, s Session, version uint64) error {
	plaintext, err := json.Marshal(sealedSession{
		UPN: s.UPN, FullName: s.FullName, AssociateID: s.AssociateID, Administrator: s.Administrator, Access: s.Access.Reveal(), AccessExpires: s.AccessExpires,
		Refresh: s.Refresh.Reveal(), API: s.API, Created: s.Created,
	})
	if err != nil {
		return err
	}
	return m.Store.Put(ctx, token.Place(), Record{
		App: s.App, Tenant: string(s.Tenant), Sealed: token.seal(s.App, string(s.Tenant), plaintext), Used: s.Used, Expires: m.Ends(s), Version: version,
	})
}
