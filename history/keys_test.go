package history_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestKeysComeBackAsTheyWereSent(t *testing.T) {
	t.Parallel()
	long := make([]int32, 100_000)
	for i := range long {
		long[i] = 1_000_000 + int32(3*i)
	}
	cases := []superoffice.Arguments{
		{},
		{Keys: []int32{}},
		{Keys: []int32{386, 230, 386}},
		{Keys: []int32{math.MinInt32, math.MaxInt32, 0, -1}},
		{Keys: long},
		{ExternalKeys: []string{"K1", "", "æ\x00ø", "K1"}},
		{ExternalKeys: []string{string(make([]byte, 300))}},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		keys := make([]int32, random.IntN(50))
		for i := range keys {
			keys[i] = int32(random.Uint32())
		}
		cases = append(cases, superoffice.Arguments{Keys: keys})
	}
	for _, a := range cases {
		packed := history.PackKeys(&a)
		internal, external, err := history.UnpackKeys(packed)
		if err != nil || !slices.Equal(internal, a.Keys) || !slices.Equal(external, a.ExternalKeys) {
			t.Errorf("%v: %v %v, %v", a, internal, external, err)
		}
		if len(a.Keys) == len(long) && len(packed) > len(long)+8 {
			t.Errorf("%d keys in a row take %d bytes", len(long), len(packed))
		}
	}
}

func TestWhatIsNoKeySetIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	for _, packed := range [][]byte{nil, {3}, {0, 1}, {1, 0x80}, {1, 0xff, 0xff, 0xff, 0xff, 0x7f}, {2, 5, 'a'}, {2, 0x80}, {2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a'}} {
		if internal, external, err := history.UnpackKeys(packed); err == nil {
			t.Errorf("%v: %v %v", packed, internal, external)
		}
	}
}
