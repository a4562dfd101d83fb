package systemuser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// keptAge is how long a token that was read is used before it is looked at again
	// beside the call; another gateway may have kept a later one.
	keptAge = 30 * time.Second

	// absentAge is how long it is remembered that there is none, or none that can be read, so that
	// nobody's calls become as many questions to the storage.
	absentAge = 2 * time.Second

	storageTimeout = 10 * time.Second

	keptPurpose = "erpsync system token"
)

// Storage keeps values by key for good, as Caddy's storage modules do. What is not there is fs.ErrNotExist.
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string, recursive bool) ([]string, error)
}

// Sealer seals tokens, and tells which were sealed under its first key.
type Sealer interface {
	auth.Sealer
	Newest(sealed string) bool
}

// ErrUnreadable means that a kept token was sealed under a key that is not among keys, or for another app.
var ErrUnreadable = errors.New("the kept system token was sealed under a key that is not among keys, or for another app")

// Kept is a tenant's system token as an approval or an import brought it.
type Kept struct {
	Tenant superoffice.Tenant
	Token  auth.Secret
	// Since is when it came.
	Since time.Time
	// By is the administrator who approved, by UPN; "" for an import.
	By string
	// Name is the tenant's, for people; "" where nobody said it.
	Name string
}

// sealedKept is a kept token's form under the seal; the token is in clear there.
type sealedKept struct {
	Token string    `json:"t"`
	Since time.Time `json:"s"`
	By    string    `json:"b,omitempty"`
	Name  string    `json:"n,omitempty"`
}

// Tokens keeps the system tokens of one app in one environment. A lost one costs an
// approval by its customer, so they lie in a storage that outlives the process and its session store.
type Tokens struct {
	storage Storage
	sealer  Sealer
	folder  string
	owner   []string

	// writing has those wait who write: an import that is taken back, or tokens that are sealed anew, must
	// not write over an approval that came meanwhile.
	writing sync.Mutex

	flight singleflight.Group
	mu     sync.RWMutex
	known  map[superoffice.Tenant]looked
	writes map[superoffice.Tenant]int // a reading that began before one of them is out of date
}

// looked is what was found, and when.
type looked struct {
	kept  Kept
	there bool
	err   error
	until time.Time
}

// NewTokens makes the store of the app with this client id. Nothing is read before it is asked for.
func NewTokens(storage Storage, sealer Sealer, environment superoffice.Environment, clientID string) *Tokens {
	name := environment.Name()
	if name == "custom" {
		name = url.QueryEscape(environment.Base())
	}
	return &Tokens{
		storage: storage, sealer: sealer, folder: path.Join("erpsync", "tenants", name, url.QueryEscape(clientID)),
		owner: []string{environment.Base(), clientID}, known: make(map[superoffice.Tenant]looked), writes: make(map[superoffice.Tenant]int),
	}
}

func (t *Tokens) place(tenant superoffice.Tenant) string { return t.folder + "/" + string(tenant) }

// Get returns the tenant's token; false: none is kept. While the storage gives no answer, the
// last one that was read stays in force. The error is ErrUnreadable or the storage's.
func (t *Tokens) Get(ctx context.Context, tenant superoffice.Tenant) (Kept, bool, error) {
	t.mu.RLock()
	last, ok := t.known[tenant]
	t.mu.RUnlock()
	switch now := time.Now(); {
	case ok && now.Before(last.until):
		return last.kept, last.there, last.err
	case ok && last.there && last.err == nil && now.Before(last.until.Add(keptAge)):
		go t.look(tenant)
		return last.kept, true, nil
	}
	return t.Fresh(ctx, tenant)
}

// Doubt has the tenant's token looked at again soon: SuperOffice does not take the one that is known.
func (t *Tokens) Doubt(tenant superoffice.Tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.known[tenant]; ok {
		if soon := time.Now().Add(absentAge); soon.Before(last.until) {
			last.until = soon
			t.known[tenant] = last
		}
	}
}

// Fresh is Get for somebody who wants the storage's word now, whatever is known.
func (t *Tokens) Fresh(ctx context.Context, tenant superoffice.Tenant) (Kept, bool, error) {
	select {
	case found := <-t.look(tenant):
		now := found.Val.(looked)
		return now.kept, now.there, now.err
	case <-ctx.Done():
		return Kept{}, false, ctx.Err()
	}
}

// look reads the tenant's token once for all who wait.
func (t *Tokens) look(tenant superoffice.Tenant) <-chan singleflight.Result {
	return t.flight.DoChan(string(tenant), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
		defer cancel()
		for {
			t.mu.RLock()
			writes := t.writes[tenant]
			t.mu.RUnlock()
			now := looked{until: time.Now().Add(keptAge)}
			now.kept, now.there, now.err = t.read(ctx, tenant)
			if !now.there || now.err != nil {
				now.until = time.Now().Add(absentAge)
			}
			if t.remember(tenant, now, writes) || ctx.Err() != nil {
				t.mu.RLock()
				defer t.mu.RUnlock()
				return t.known[tenant], nil
			}
		}
	})
}

// maxAbsent bounds how many tenants without a token are remembered: callers name them.
const maxAbsent = 10_000

// remember notes what was found; false: a token was written since the reading began.
func (t *Tokens) remember(tenant superoffice.Tenant, now looked, writes int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writes[tenant] != writes {
		return false
	}
	if last := t.known[tenant]; now.err != nil && last.there && last.err == nil {
		last.until = time.Now().Add(absentAge)
		now = last
	}
	if !now.there && len(t.known) > maxAbsent {
		maps.DeleteFunc(t.known, func(_ superoffice.Tenant, l looked) bool { return !l.there })
	}
	t.known[tenant] = now
	return true
}

// wrote notes what was written, after it was.
func (t *Tokens) wrote(tenant superoffice.Tenant, now looked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes[tenant]++
	t.known[tenant] = now
}

func (t *Tokens) read(ctx context.Context, tenant superoffice.Tenant) (Kept, bool, error) {
	raw, err := t.storage.Load(ctx, t.place(tenant))
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{}, false, nil
	}
	if err != nil {
		return Kept{}, false, fmt.Errorf("storage of Caddy: %w", err)
	}
	kept, err := t.Open(tenant, string(raw))
	return kept, true, err
}

// Keep keeps the token in place of one that was kept before.
func (t *Tokens) Keep(ctx context.Context, kept Kept) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.keep(ctx, kept)
}

// keep is Keep; t.writing is held.
func (t *Tokens) keep(ctx context.Context, kept Kept) error {
	if err := t.storage.Store(ctx, t.place(kept.Tenant), []byte(t.Seal(kept))); err != nil {
		return fmt.Errorf("storage of Caddy: %w", err)
	}
	t.wrote(kept.Tenant, looked{kept: kept, there: true, until: time.Now().Add(keptAge)})
	return nil
}

// KeepAll keeps all of them or none: when one cannot be kept, those before it are put back as they were.
func (t *Tokens) KeepAll(ctx context.Context, all []Kept) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	before := make(map[superoffice.Tenant][]byte, len(all))
	for _, kept := range all {
		raw, err := t.storage.Load(ctx, t.place(kept.Tenant))
		if err == nil {
			before[kept.Tenant] = raw
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("storage of Caddy: %w", err)
		}
	}
	for i, kept := range all {
		err := t.keep(ctx, kept)
		if err == nil {
			continue
		}
		for _, kept := range all[:i+1] { // what failed may be written all the same
			if backErr := t.putBack(ctx, kept.Tenant, before[kept.Tenant]); backErr != nil {
				err = errors.Join(err, fmt.Errorf("%s is not as it was before: %w", kept.Tenant, backErr))
			}
		}
		return err
	}
	return nil
}

// putBack writes what was stored before, or nothing for nil.
func (t *Tokens) putBack(ctx context.Context, tenant superoffice.Tenant, raw []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	defer t.wrote(tenant, looked{}) // the next one that asks looks
	if raw == nil {
		return t.storage.Delete(ctx, t.place(tenant))
	}
	return t.storage.Store(ctx, t.place(tenant), raw)
}

// Remove forgets the tenant's token; false: none was kept.
func (t *Tokens) Remove(ctx context.Context, tenant superoffice.Tenant) (bool, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	_, err := t.storage.Load(ctx, t.place(tenant))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = t.storage.Delete(ctx, t.place(tenant))
	}
	if err != nil {
		return false, fmt.Errorf("storage of Caddy: %w", err)
	}
	t.wrote(tenant, looked{until: time.Now().Add(absentAge)})
	return true, nil
}

// Tenants lists the tenants whose token is kept, in order.
func (t *Tokens) Tenants(ctx context.Context) ([]superoffice.Tenant, error) {
	keys, err := t.storage.List(ctx, t.folder, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("storage of Caddy: %w", err)
	}
	var tenants []superoffice.Tenant
	for _, key := range keys {
		if tenant, ok := superoffice.ParseTenant(path.Base(key)); ok {
			tenants = append(tenants, tenant)
		}
	}
	slices.Sort(tenants)
	return tenants, nil
}

// Reseal seals anew, under the first of keys, what was sealed under another, and tells how many
// that were. Afterwards the others can be taken out of keys.
func (t *Tokens) Reseal(ctx context.Context) (resealed int, err error) {
	tenants, err := t.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	for _, tenant := range tenants {
		done, tenantErr := t.reseal(ctx, tenant)
		if tenantErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", tenant, tenantErr))
		}
		if done {
			resealed++
		}
	}
	return resealed, err
}

func (t *Tokens) reseal(ctx context.Context, tenant superoffice.Tenant) (done bool, err error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	raw, err := t.storage.Load(ctx, t.place(tenant))
	if err != nil || t.sealer.Newest(string(raw)) {
		return false, err
	}
	kept, err := t.Open(tenant, string(raw))
	if err != nil {
		return false, err
	}
	// Another gateway may have kept another one since: that window is as short as two readings are apart.
	if again, err := t.storage.Load(ctx, t.place(tenant)); err != nil || !bytes.Equal(again, raw) {
		return false, err
	}
	return true, t.keep(ctx, kept)
}

// Seal returns the token in the form in which it is stored and exported.
func (t *Tokens) Seal(kept Kept) string {
	plain, err := json.Marshal(sealedKept{kept.Token.Reveal(), kept.Since, kept.By, kept.Name})
	if err != nil {
		panic(err) // strings and a time always marshal
	}
	return t.sealer.Seal(keptPurpose, append(t.owner[:2:2], string(kept.Tenant)), plain)
}

// Open opens what Seal gave for the tenant, with any of keys; the error is ErrUnreadable.
func (t *Tokens) Open(tenant superoffice.Tenant, sealed string) (Kept, error) {
	kept := Kept{Tenant: tenant}
	plain, err := t.sealer.Open(keptPurpose, append(t.owner[:2:2], string(tenant)), sealed)
	if err != nil {
		return kept, ErrUnreadable
	}
	var in sealedKept
	if json.Unmarshal(plain, &in) != nil || in.Token == "" {
		return kept, ErrUnreadable
	}
	kept.Token, kept.Since, kept.By, kept.Name = auth.NewSecret(in.Token), in.Since, in.By, in.Name
	return kept, nil
}
