package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// mintTimeout bounds one mint, no matter who waits for it.
	mintTimeout = 30 * time.Second

	// refusedAge is how long nothing is minted again after SuperOffice said no for good: then one call tries.
	refusedAge = time.Minute

	// usedAge is how old a credential is that SuperOffice has taken before, in all likelihood: if it refuses it now, it has
	// forgotten it, and would take another. One that is refused sooner is followed by one more at once and then by
	// others ever later.
	usedAge = 5 * time.Second

	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
)

// Mint makes a credential in place of one that was refused or is near its end; zero: there
// is none. It is called once at a time for each key.
type Mint func(ctx context.Context, replaces Credential) (Credential, *Refusal)

// CredentialCache keeps credentials that many callers share: minted once, renewed ahead
// of their end beside the request that noticed, handed to all who wait.
type CredentialCache struct {
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
	rejected   int // how many in a row were refused before they were usedAge old
	told       int // how often somebody outside said what holds: a mint that began before that is out of date
}

// NewCredentialCache makes a keeper that renews a credential when a fifth of its lifetime
// is left. A nil now is the system's clock.
func NewCredentialCache(now func() time.Time) *CredentialCache {
	if now == nil {
		now = time.Now
	}
	return &CredentialCache{now: now, kept: make(map[string]*kept)}
}

// Key names a credential: a tuple of parts, each of which may hold anything.
func Key(parts ...string) string { return digest(parts...) }

// Get returns the credential kept under key, minting it if there is none that is
// valid. It waits for a mint no longer than ctx; the mint itself goes on.
func (k *CredentialCache) Get(ctx context.Context, key string, mint Mint) (Credential, *Refusal) {
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

// Peek returns what is kept under key without minting; false: nothing that is valid.
func (k *CredentialCache) Peek(key string) (Credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	if entry == nil || !entry.valid(k.now()) {
		return Credential{}, false
	}
	return entry.credential, true
}

// Fresh is Peek for a credential that need not be renewed either; false: Get has to be asked. It is what
// nearly every call needs, and costs it no mint to be made ready.
func (k *CredentialCache) Fresh(key string) (Credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry, now := k.kept[key], k.now()
	if entry == nil || !entry.valid(now) || k.due(entry, now) {
		return Credential{}, false
	}
	return entry.credential, true
}

// Set keeps a credential that was minted elsewhere, in place of what is kept and of a refusal.
func (k *CredentialCache) Set(key string, credential Credential) {
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

// Delete drops what is kept under key, a refusal too, and what a mint that is under way will bring: the
// next who asks has it minted.
func (k *CredentialCache) Delete(key string) {
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

// ResetBackoff forgets refusals and back-offs: a new configuration may have mended what they came from.
func (k *CredentialCache) ResetBackoff() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, entry := range k.kept {
		entry.refusal, entry.failures, entry.retry = nil, 0, time.Time{}
	}
}

func (e *kept) valid(now time.Time) bool {
	return e.have && (e.credential.Expires.IsZero() || now.Before(e.credential.Expires))
}

func (k *CredentialCache) due(entry *kept, now time.Time) bool {
	if entry.credential.Expires.IsZero() {
		return false
	}
	lifetime := entry.credential.Expires.Sub(entry.credential.Minted)
	return now.After(entry.credential.Expires.Add(-lifetime / 5))
}

// mint starts a mint; k.mu is held.
func (k *CredentialCache) mint(ctx context.Context, entry *kept, mint Mint) {
	entry.flight = make(chan struct{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mintTimeout)
	replaces, waiting, told := entry.credential, !entry.valid(k.now()), entry.told
	go func() {
		defer cancel()
		var credential Credential
		var refusal *Refusal
		Retry(ctx, func() bool {
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

// ErrRefusedAtOnce is the cause of a refusal where SuperOffice refused a credential straight after it was minted.
var ErrRefusedAtOnce = errors.New("SuperOffice refuses the credential straight after it is minted, again and again")

// MarkRejected records that SuperOffice did not take the credential. It is dropped
// unless another has replaced it already. It is replaced at once, too if it was refused straight after
// its minting. If its successor is refused as fast, the next ones are minted after a second, two, up to half a minute,
// unless what they are made from has changed since, which changed says.
// It returns whether trying again with a new one makes sense.
func (k *CredentialCache) MarkRejected(key string, credential Credential, changed bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	if entry == nil || !entry.have || !entry.credential.Same(credential) {
		return true
	}
	entry.have = false
	now := k.now()
	if now.Sub(entry.credential.Minted) >= usedAge || changed {
		entry.rejected = 0
		return true
	}
	entry.rejected++
	if entry.rejected == 1 {
		return true
	}
	wait := backoff(entry.rejected - 2)
	entry.refusal, entry.retry = Refuse(UpstreamCredentialRefused, ErrRefusedAtOnce).After(wait), now.Add(wait)
	return false
}
