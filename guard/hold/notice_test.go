package hold_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
)

var tenant = hold.Target{Tenant: "Cust1"}

func message(id string) hold.Message {
	return hold.Message{ID: id, Until: time.Now().Add(time.Hour).Unix()}
}

func putting(h hold.Hold) func([]hold.Hold) []hold.Hold {
	return func(holds []hold.Hold) []hold.Hold { return hold.Put(holds, h) }
}

func hear(t *testing.T, b *hold.Book, id string, h hold.Hold) bool {
	t.Helper()
	h.Target, h.Since = tenant, time.Now()
	first, err := b.Hear(t.Context(), message(id), putting(h))
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestAMessageHasItsEffectOnceAtAllGatewaysAndOverARestart(t *testing.T) {
	t.Parallel()
	kv, locker, storage := new(store), new(lease.Memory), new(disk)
	one, other := book(t, kv, locker, storage), book(t, kv, locker, nil)
	if !hear(t, one, "m", hold.Hold{Notice: hold.Suspend, Reason: "r"}) || !finds(t, one, "a", "Cust1", 1) {
		t.Error("it had no effect")
	}
	if _, err := one.Release(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "holds"); err != nil { // as a store in memory begins
		t.Fatal(err)
	}
	for name, b := range map[string]*hold.Book{"the same gateway": one, "another": other, "one that starts": book(t, kv, locker, storage)} {
		if b == other {
			if err := one.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if hear(t, b, "m", hold.Hold{Notice: hold.Suspend, Reason: "again"}) || finds(t, b, "a", "Cust1", 1) || !b.Heard(message("m")) || b.Heard(message("n")) {
			t.Errorf("%s: the message has an effect again", name)
		}
	}
}

func TestAMessageThatCouldNotBeKeptMayComeAgain(t *testing.T) {
	t.Parallel()
	kv := new(store)
	b := book(t, kv, new(lease.Memory), nil)
	kv.setDown(errDown)
	if _, err := b.Hear(t.Context(), message("m"), putting(hold.Hold{Target: tenant, Notice: hold.Suspend})); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	kv.setDown(nil)
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !hear(t, b, "m", hold.Hold{Notice: hold.Suspend, Reason: "r"}) {
		t.Error("it counts as heard, and nobody did what it says")
	}
}

func TestMessagesAreForgottenWhenTheyCannotComeAgainAndBoundedUntilThen(t *testing.T) {
	t.Parallel()
	old := hold.Message{ID: "old", Until: time.Now().Add(-time.Minute).Unix()}
	heard := []hold.Message{old}
	for i := range 1999 {
		heard = append(heard, message(fmt.Sprint(i)))
	}
	raw, err := json.Marshal(map[string]any{"version": 1, "holds": []hold.Hold{}, "heard": heard})
	if err != nil {
		t.Fatal(err)
	}
	kv := new(store)
	if err := kv.Set(t.Context(), "holds", string(raw), time.Hour); err != nil {
		t.Fatal(err)
	}
	b := book(t, kv, new(lease.Memory), nil)
	nothing := func(holds []hold.Hold) []hold.Hold { return holds }
	if first, err := b.Hear(t.Context(), message("the last"), nothing); !first || err != nil || b.Heard(old) {
		t.Errorf("%v %v; one that cannot come again is remembered: %v", first, err, b.Heard(old))
	}
	if _, err := b.Hear(t.Context(), message("one more"), nothing); err == nil || b.Heard(message("one more")) || !b.Heard(message("0")) {
		t.Errorf("one more: %v", err)
	}
}

func TestANoticeAndAnOperatorHoldTheSameTenantApart(t *testing.T) {
	t.Parallel()
	b := book(t, new(store), new(lease.Memory), nil)
	set(t, b, hold.Hold{Target: tenant, Reason: "repair"})
	hear(t, b, "1", hold.Hold{Notice: hold.Suspend, Reason: "suspended"})
	hear(t, b, "2", hold.Hold{Notice: hold.BackupRestored, Reason: "restored"})
	if err := b.Amend(t.Context(), func(holds []hold.Hold) ([]hold.Hold, bool) { // as Resume does
		var kept []hold.Hold
		for _, h := range holds {
			if h.Notice != hold.Suspend {
				kept = append(kept, h)
			}
		}
		return kept, true
	}); err != nil {
		t.Fatal(err)
	}
	all, err := b.InForce(t.Context())
	if err != nil || len(all) != 2 || all[0].Reason == all[1].Reason {
		t.Errorf("%v %v", all, err)
	}
	if released, err := b.Release(t.Context(), tenant); len(released) != 2 || err != nil || finds(t, b, "a", "Cust1", 1) {
		t.Errorf("a person releases the tenant, whoever held it: %v %v", released, err)
	}
}

func TestWhatIsWatchedHoldsNothingAndIsKept(t *testing.T) {
	t.Parallel()
	b := book(t, new(store), new(lease.Memory), nil)
	hear(t, b, "1", hold.Hold{Notice: hold.Upgrade, Watched: true, Until: time.Now().Add(time.Hour)})
	hear(t, b, "2", hold.Hold{Notice: hold.Suspend, Watched: true, Until: time.Now().Add(-time.Second)})
	if finds(t, b, "a", "Cust1", 1) || b.Count() != 0 {
		t.Error("it holds")
	}
	if released, err := b.Release(t.Context(), tenant); len(released) > 0 || err != nil {
		t.Errorf("%v %v", released, err)
	}
	if all := b.Notices(); len(all) != 1 || all[0].Notice != hold.Upgrade {
		t.Errorf("%v", all)
	}
	if err := b.Amend(t.Context(), func(holds []hold.Hold) ([]hold.Hold, bool) { return nil, false }); err != nil || len(b.Notices()) != 1 {
		t.Errorf("nothing was to be changed: %v %v", b.Notices(), err)
	}
}
