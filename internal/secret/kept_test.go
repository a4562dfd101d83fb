package secret

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

func TestEveryGatewayOfAStorageHasTheKeyThatTheFirstOneMade(t *testing.T) {
	t.Parallel()
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	keys := make([][]byte, 4)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = KeptKey(t.Context(), storage); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range keys {
		if len(key) < 32 || !bytes.Equal(key, keys[0]) {
			t.Errorf("%d bytes, the same: %v", len(key), bytes.Equal(key, keys[0]))
		}
	}
	other, err := KeptKey(t.Context(), &certmagic.FileStorage{Path: t.TempDir()})
	if err != nil || bytes.Equal(other, keys[0]) {
		t.Errorf("another storage has the same key: %v", err)
	}
}

var errStorage = errors.New("storage is away")

// away is a storage that fails to load.
type away struct{ certmagic.Storage }

func (away) Load(context.Context, string) ([]byte, error) { return nil, errStorage }

// An error is no absence: a key made while the storage is away would open nothing of before.
func TestNoKeyIsMadeWhileTheStorageGivesNoAnswer(t *testing.T) {
	t.Parallel()
	files := &certmagic.FileStorage{Path: t.TempDir()}
	if key, err := KeptKey(t.Context(), away{files}); !errors.Is(err, errStorage) || key != nil {
		t.Errorf("%d bytes, %v", len(key), err)
	}
	if files.Exists(t.Context(), keptKey) {
		t.Error("a key was stored")
	}
}
