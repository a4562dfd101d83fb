package erpsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// madeKey is where the key is kept that the gateway made for itself.
	madeKey = "erpsync/key"

	storageTimeout = 10 * time.Second
)

// provisionKeys finds the secrets that everything of the gateway's own is sealed
// under: those that are configured, or one that Caddy's storage keeps.
func (h *Handler) provisionKeys(ctx context.Context) error {
	for _, raw := range h.Keys {
		key, err := newSecret("keys", raw, h.logger)
		if err != nil {
			return err
		}
		value, err := key.get()
		if err != nil {
			return err
		}
		h.keys = append(h.keys, []byte(value.Reveal()))
	}
	if len(h.keys) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	key, err := keptKey(ctx, h.storage)
	if err != nil {
		return fmt.Errorf("keys: none is configured, and Caddy's storage does not keep one: %w", err)
	}
	h.keys = [][]byte{key}
	return nil
}

// keptKey takes the key that the storage keeps, or makes one that it keeps from now on.
func keptKey(ctx context.Context, storage certmagic.Storage) (key []byte, err error) {
	if key, err = storage.Load(ctx, madeKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := storage.Lock(ctx, madeKey); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), madeKey)) }()
	if key, err = storage.Load(ctx, madeKey); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = []byte(newID() + newID())
	return key, storage.Store(ctx, madeKey, key)
}
