package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// minting counts what a keeper has minted, and mints as it is told.
type minting struct {
	t      *testing.T
	keeper *CredentialCache
	tries  int
	next   func() (Credential, *Refusal)
}

func (m *minting) get() (string, *Refusal) {
	m.t.Helper()
	c, refusal := m.keeper.Get(m.t.Context(), "k", func(context.Context, Credential) (Credential, *Refusal) {
		m.tries++
		return m.next()
	})
	return c.Value.Reveal(), refusal
}

// well mints a credential that lives so long.
func well(value string, lifetime time.Duration) func() (Credential, *Refusal) {
	return func() (Credential, *Refusal) {
		return Credential{Value: NewSecret(value), Expires: time.Now().Add(lifetime)}, nil
	}
}

func refusing(reason Reason) func() (Credential, *Refusal) {
	return func() (Credential, *Refusal) { return Credential{}, Refuse(reason, errors.New("no")) }
}

func TestARefusalForGoodIsMintedAgainAfterAMinuteAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &minting{t: t, keeper: NewCredentialCache(nil), next: refusing(ConsentRequired)}
		want := func(tries int) {
			t.Helper()
			if _, refusal := m.get(); refusal == nil || refusal.Reason != ConsentRequired || m.tries != tries {
				t.Errorf("%v after %d mints, want %d", refusal, m.tries, tries)
			}
		}
		want(1)
		time.Sleep(time.Minute - time.Millisecond)
		want(1)
		time.Sleep(time.Millisecond)
		want(2)
		want(2)
		time.Sleep(time.Minute)
		m.next = well("t", time.Hour)
		if value, refusal := m.get(); value != "t" || refusal != nil || m.tries != 3 {
			t.Errorf("%q, %v after %d mints", value, refusal, m.tries)
		}
	})
}

func TestAFailureThatMayPassIsTriedAgainAfterItsBackOffAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &minting{t: t, keeper: NewCredentialCache(nil), next: refusing(CredentialUnavailable)}
		want := func(tries int) {
			t.Helper()
			if _, refusal := m.get(); refusal == nil || refusal.Reason != CredentialUnavailable || m.tries != tries {
				t.Errorf("%v after %d tries, want %d", refusal, m.tries, tries)
			}
		}
		want(persistence)
		want(persistence)
		time.Sleep(firstBackoff) // at most
		want(2 * persistence)
		time.Sleep(firstBackoff - time.Millisecond) // the second is a second at least
		want(2 * persistence)
		time.Sleep(firstBackoff + time.Millisecond)
		want(3 * persistence)
		time.Sleep(maxBackoff)
		m.next = well("t", time.Hour)
		if value, refusal := m.get(); value != "t" || refusal != nil {
			t.Errorf("%q, %v", value, refusal)
		}
	})
}

func TestARenewalThatFailedAheadOfTimeHoldsNobodyBackWhenTheCredentialEnds(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]Reason{"for now": CredentialUnavailable, "for good": ConsentRequired} {
		synctest.Test(t, func(t *testing.T) {
			m := &minting{t: t, keeper: NewCredentialCache(nil), next: well("first", 10*time.Second)}
			if _, refusal := m.get(); refusal != nil {
				t.Fatal(refusal)
			}
			time.Sleep(10*time.Second - time.Millisecond)
			m.next = refusing(reason)
			if value, refusal := m.get(); value != "first" || refusal != nil {
				t.Errorf("%s: %q, %v while the first is good", name, value, refusal)
			}
			synctest.Wait()
			if m.tries != 2 {
				t.Errorf("%s: %d mints: nothing was tried ahead of time", name, m.tries)
			}
			time.Sleep(time.Millisecond) // it has ended, within any back-off
			m.next = well("second", time.Hour)
			if value, refusal := m.get(); value != "second" || refusal != nil {
				t.Errorf("%s: %q, %v after the first has ended", name, value, refusal)
			}
		})
	}
}

func TestWhoWaitsForARenewalThatBeganAheadOfTimeIsNotToldItsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &minting{t: t, keeper: NewCredentialCache(nil), next: well("first", 10*time.Second)}
		_, _ = m.get()
		time.Sleep(9 * time.Second)
		m.next = func() (Credential, *Refusal) {
			time.Sleep(5 * time.Second)
			m.next = well("second", time.Hour)
			return Credential{}, Refuse(CredentialUnavailable, errors.New("slow, and no"))
		}
		_, _ = m.get()
		time.Sleep(2 * time.Second) // the first has ended, the renewal goes on
		if value, refusal := m.get(); value != "second" || refusal != nil {
			t.Errorf("%q, %v", value, refusal)
		}
	})
}

func TestWhatAMintBringsDoesNotCountWhenSomebodySaidMeanwhileWhatHolds(t *testing.T) {
	t.Parallel()
	for name, brings := range map[string]func() (Credential, *Refusal){
		"a credential": well("stale", time.Hour), "a refusal": refusing(ConsentRequired),
	} {
		for said, c := range map[string]struct {
			say  func(*CredentialCache)
			want string
		}{
			"forgotten": {func(k *CredentialCache) { k.Delete("k") }, "later"},
			"put": {func(k *CredentialCache) {
				k.Set("k", Credential{Value: NewSecret("put"), Expires: time.Now().Add(time.Hour)})
			}, "put"},
		} {
			synctest.Test(t, func(t *testing.T) {
				m := &minting{t: t, keeper: NewCredentialCache(nil)}
				m.next = func() (Credential, *Refusal) {
					time.Sleep(time.Second)
					m.next = well("later", time.Hour)
					return brings()
				}
				waiting := make(chan string, 1)
				go func() {
					value, refusal := m.get()
					if refusal != nil {
						t.Errorf("%s while %s: %v", said, name, refusal)
					}
					waiting <- value
				}()
				synctest.Wait()
				c.say(m.keeper)
				if got := <-waiting; got != c.want {
					t.Errorf("%s while %s was on its way: who waited got %q, want %q", said, name, got, c.want)
				}
				synctest.Wait()
				if got, refusal := m.get(); got != c.want || refusal != nil {
					t.Errorf("%s while %s was on its way: the next got %q, %v", said, name, got, refusal)
				}
			})
		}
	}
}
