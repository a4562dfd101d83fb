package redisstore

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

func TestOfTwoThatClaimAKeyWithTheSameValueOneHasIt(t *testing.T) {
	t.Parallel()
	for name, kv := range map[string]auth.KV{"redis": open(t, redistest.Start(t), "p").Values, "memory": new(auth.MemoryKV)} {
		for i, want := range []bool{true, false, false} {
			if set, err := kv.SetNX(t.Context(), "k", "used", time.Minute); set != want || err != nil {
				t.Errorf("%s: claim %d: %v %v", name, i+1, set, err)
			}
		}
		if value, found, err := kv.Get(t.Context(), "k"); value != "used" || !found || err != nil {
			t.Errorf("%s: %q %v %v", name, value, found, err)
		}
		if err := kv.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		if set, err := kv.SetNX(t.Context(), "k", "used", time.Minute); !set || err != nil {
			t.Errorf("%s: given back: %v %v", name, set, err)
		}
	}
}

// An attempt whose answer was lost is made again, with the same arguments.
func TestAClaimThatIsMadeAgainIsStillItsOwn(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Start(t), "p").Values
	own := asClaim("v")
	for range 2 {
		if done, err := setNXScript.Run(t.Context(), s.client, []string{s.value("k")}, own, 60_000).Int(); done != 1 || err != nil {
			t.Errorf("%d %v", done, err)
		}
	}
}

func TestEveryValueComesBackAsItWasSet(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Start(t), "p").Values
	for _, value := range []string{"", "v", claimed, claimed + "v", asClaim(""), asClaim("v"), asClaim(asClaim("v"))} {
		if err := s.Set(t.Context(), "k", value, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, found, err := s.Get(t.Context(), "k"); got != value || !found || err != nil {
			t.Errorf("%q: %q %v %v", value, got, found, err)
		}
		_ = s.Delete(t.Context(), "k")
		if set, err := s.SetNX(t.Context(), "k", value, time.Minute); !set || err != nil {
			t.Fatal(set, err)
		}
		if got, _, err := s.Get(t.Context(), "k"); got != value || err != nil {
			t.Errorf("claimed %q: %q %v", value, got, err)
		}
	}
}
