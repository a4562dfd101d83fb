package sandboxtest_test

import (
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox/sandboxtest"
)

func TestNoTwoKeysOfASandboxAreTheSameAndItsNeighbourHasThem(t *testing.T) {
	t.Parallel()
	made := func() *sandbox.Sandbox {
		so, err := sandbox.New("http://127.0.0.1:1", sandboxtest.Keys())
		if err != nil {
			t.Fatal(err)
		}
		return so
	}
	so, other := made(), made()
	seen := make(map[string]bool)
	for range 4 { // more than are made for all
		for _, app := range []string{"portal", "erp", "quote"} {
			seen[string(so.App(app).KeyPEM())] = true
			if err := so.RotateKey(app); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d keys of twelve are different", len(seen))
	}
	if !seen[string(other.App("erp").KeyPEM())] {
		t.Error("the neighbour has made its own")
	}
}
