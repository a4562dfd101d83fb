package erpsync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// generatedKey is where the key is kept that the gateway made for itself.
	generatedKey = "erpsync/key"

	storageTimeout = 10 * time.Second
)

// keys returns the secrets that everything of the gateway's own is sealed under: those that are
// configured, or one that Caddy's storage keeps.
func (b *builder) keys() (keys [][]byte, err error) {
	for _, raw := range b.h.Keys {
		key, err := newSecret("keys", raw, b.logger)
		if err != nil {
			return nil, err
		}
		keys = append(keys, []byte(key.Get().Reveal()))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, storageTimeout)
	defer cancel()
	key, err := keptKey(ctx, b.storage)
	if err != nil {
		return nil, fmt.Errorf("keys: none is configured, and Caddy's storage does not keep one: %w", err)
	}
	return [][]byte{key}, nil
}

// keptKey returns the key that the storage keeps, or makes one that it keeps from now on.
func keptKey(ctx context.Context, storage certmagic.Storage) (key []byte, err error) {
	if key, err = storage.Load(ctx, generatedKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := storage.Lock(ctx, generatedKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), generatedKey)) }()
	if key, err = storage.Load(ctx, generatedKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = []byte(rand.Text() + rand.Text())
	return key, storage.Store(ctx, generatedKey, key)
}
