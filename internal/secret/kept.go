package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// keptKey is where the key is kept that the gateway made for itself.
	keptKey = "erpsync/key"

	storageTimeout = 10 * time.Second
)

// KeptKey returns the sealing key that the storage keeps, or makes one that it keeps from now on. It gives up after 10 s.
func KeptKey(ctx context.Context, storage certmagic.Storage) (key []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	if key, err = storage.Load(ctx, keptKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := storage.Lock(ctx, keptKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), keptKey)) }()
	if key, err = storage.Load(ctx, keptKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = []byte(rand.Text() + rand.Text())
	return key, storage.Store(ctx, keptKey, key)
}
