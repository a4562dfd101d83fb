package auth

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// mintTimeout bounds one mint, whoever waits for it.
	mintTimeout = 30 * time.Second

	// refusedAge is how long nothing is minted again after SuperOffice said no for good, or after
	// it refused what had just been minted: then one call tries.
	refusedAge = time.Minute

	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
)

// Mint makes a credential in place of one that was refused or is near its end; zero: there
// is none. It is called once at a time for each key.
type Mint func(ctx context.Context, replaces Credential) (Credential, *Refusal)

// Keeper keeps credentials that many callers share: minted once, renewed ahead
// of their end beside the request that noticed, handed to all who wait.
type Keeper struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[string]*kept
}

type kept struct {
	credential Credential
	have       bool
	flight     chan struct{} // closed when the mint that is under way is over
	refusal    *Refusal      // of the last mint, until retry
	retry      time.Time
	failures   int
	told       int // how often somebody outside said what holds: a mint that began before that is out of date
}

// NewKeeper makes a keeper that renews a credential when a fifth of its lifetime
// is left. A nil now is the system's clock.
func NewKeeper(now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{now: now, kept: make(map[string]*kept)}
}

// Key names a credential: a tuple of parts, each of which may hold anything.
func Key(parts ...string) string { return digest(parts...) }

// Get gives the credential kept under key, minting it if there is none that is
// valid. It waits for a mint no longer than ctx; the mint itself goes on.
func (k *Keeper) Get(ctx context.Context, key string, mint Mint) (Credential, *Refusal) {
	for {
		k.mu.Lock()
		entry := k.kept[key]
		if entry == nil {
			entry = &kept{}
			k.kept[key] = entry
		}
		now := k.now()
		if entry.valid(now) {
			credential := entry.credential
			if k.due(entry, now) && entry.flight == nil && !now.Before(entry.retry) {
				k.mint(ctx, entry, mint)
			}
			k.mu.Unlock()
			return credential, nil
		}
		if entry.flight == nil {
			if entry.refusal != nil && now.Before(entry.retry) {
				refusal := entry.refusal
				k.mu.Unlock()
				return Credential{}, refusal
			}
			k.mint(ctx, entry, mint)
		}
		flight := entry.flight
		k.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return Credential{}, Refuse(CredentialUnavailable, ctx.Err()).After(time.Second)
		}
	}
}

// Look gives what is kept under key without minting; false: nothing that is valid.
func (k *Keeper) Look(key string) (Credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	if entry == nil || !entry.valid(k.now()) {
		return Credential{}, false
	}
	return entry.credential, true
}

// Good is Look for a credential that need not be renewed either; false: Get has to be asked. It is what
// nearly every call needs, and costs it no mint to be made ready.
func (k *Keeper) Good(key string) (Credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry, now := k.kept[key], k.now()
	if entry == nil || !entry.valid(now) || k.due(entry, now) {
		return Credential{}, false
	}
	return entry.credential, true
}

// Put keeps a credential that was minted elsewhere, in place of what is kept and of a refusal.
func (k *Keeper) Put(key string, credential Credential) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if credential.Minted.IsZero() {
		credential.Minted = k.now()
	}
	entry := k.kept[key]
	if entry == nil {
		entry = &kept{}
		k.kept[key] = entry
	}
	entry.credential, entry.have, entry.told = credential, true, entry.told+1
	entry.refusal, entry.failures, entry.retry = nil, 0, time.Time{}
}

// Forget drops what is kept under key, a refusal too, and what a mint that is under way will bring: the
// next who asks has it minted.
func (k *Keeper) Forget(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	switch {
	case entry == nil:
	case entry.flight == nil:
		delete(k.kept, key)
	default:
		entry.have, entry.told = false, entry.told+1
		entry.refusal, entry.failures, entry.retry = nil, 0, time.Time{}
	}
}

// Forgive forgets refusals and back-offs: a new configuration may have mended what they came from.
func (k *Keeper) Forgive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, entry := range k.kept {
		entry.refusal, entry.failures, entry.retry = nil, 0, time.Time{}
	}
}

func (e *kept) valid(now time.Time) bool {
	return e.have && (e.credential.Expires.IsZero() || now.Before(e.credential.Expires))
}

func (k *Keeper) due(entry *kept, now time.Time) bool {
	if entry.credential.Expires.IsZero() {
		return false
	}
	lifetime := entry.credential.Expires.Sub(entry.credential.Minted)
	return now.After(entry.credential.Expires.Add(-lifetime / 5))
}

// mint starts a mint; k.mu is held.
func (k *Keeper) mint(ctx context.Context, entry *kept, mint Mint) {
	entry.flight = make(chan struct{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mintTimeout)
	replaces, waiting, told := entry.credential, !entry.valid(k.now()), entry.told
	go func() {
		defer cancel()
		var credential Credential
		var refusal *Refusal
		Persist(ctx, func() bool {
			credential, refusal = mint(ctx, replaces)
			// A failure that may pass is not told to those who wait before it was tried again.
			return refusal == nil || !waiting || refusal.Status != http.StatusServiceUnavailable
		})
		k.mu.Lock()
		defer k.mu.Unlock()
		now := k.now()
		defer func() {
			close(entry.flight)
			entry.flight = nil
		}()
		if entry.told != told {
			return // those who wait look again
		}
		if refusal != nil {
			wait := backoff(entry.failures)
			if refusal.Status != http.StatusServiceUnavailable { // it will not come right by itself
				wait = refusedAge
			}
			entry.retry = now.Add(wait)
			entry.failures++
			if waiting { // nobody has felt a failure ahead of time; when there is nothing left, it is tried at once
				entry.refusal = refusal
			}
		} else {
			if credential.Minted.IsZero() {
				credential.Minted = now
			}
			entry.credential, entry.have = credential, true
			entry.refusal, entry.failures, entry.retry = nil, 0, time.Time{}
		}
	}()
}

// Refused tells that SuperOffice did not take the credential. It is dropped
// unless another has replaced it already. One that was refused straight after
// its minting is not replaced for a minute: its successor would be refused too, unless
// what it is made from has changed since, which changed says.
// It returns whether trying again with a new one makes sense.
func (k *Keeper) Refused(key string, credential Credential, changed bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	if entry == nil || !entry.have || !entry.credential.Same(credential) {
		return true
	}
	entry.have = false
	if now := k.now(); now.Sub(entry.credential.Minted) < refusedAge && !changed {
		entry.refusal, entry.retry = Refuse(UpstreamCredentialRefused, nil), now.Add(refusedAge)
		return false
	}
	return true
}
