package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// Store keeps the document, sealed.
type Store interface {
	// Load returns what is kept; nil if nothing is. An error that is errUnreadable is for good, any other may pass.
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, raw []byte) error
}

// errUnreadable means that what is kept cannot be opened, now or later.
var errUnreadable = errors.New("the notices that were kept cannot be read: they are another key's, or damaged")

const (
	sealPurpose = "erpsync notices"
	storeKey    = "notices"
	// keptFor is how long the store keeps the document: in effect until it is written again.
	keptFor = 365 * 24 * time.Hour
)

// SharedStore returns a Store in what gateways share.
func SharedStore(kv auth.KV, sealer auth.Sealer) Store { return sharedStore{kv, sealer} }

type sharedStore struct {
	kv     auth.KV
	sealer auth.Sealer
}

func (s sharedStore) Load(ctx context.Context) ([]byte, error) {
	sealed, found, err := s.kv.Get(ctx, storeKey)
	if err != nil || !found {
		return nil, err
	}
	return unseal(s.sealer, sealed)
}

func (s sharedStore) Save(ctx context.Context, raw []byte) error {
	return s.kv.Set(ctx, storeKey, s.sealer.Seal(sealPurpose, []string{storeKey}, raw), keptFor)
}

// Storage keeps files. What is not there is fs.ErrNotExist.
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// FileStore returns a Store at path of a storage, for a gateway that shares nothing.
func FileStore(storage Storage, path string, sealer auth.Sealer) Store {
	return fileStore{storage, path, sealer}
}

type fileStore struct {
	storage Storage
	path    string
	sealer  auth.Sealer
}

func (s fileStore) Load(ctx context.Context) ([]byte, error) {
	sealed, err := s.storage.Load(ctx, s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return unseal(s.sealer, string(sealed))
}

func (s fileStore) Save(ctx context.Context, raw []byte) error {
	return s.storage.Store(ctx, s.path, []byte(s.sealer.Seal(sealPurpose, []string{storeKey}, raw)))
}

func unseal(sealer auth.Sealer, sealed string) ([]byte, error) {
	raw, err := sealer.Open(sealPurpose, []string{storeKey}, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errUnreadable, err)
	}
	return raw, nil
}

// parse reads a document; a new one if there is none.
func parse(raw []byte) (*document, error) {
	d := new(document)
	if raw == nil {
		return d, nil
	}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("%w (%w)", errUnreadable, err)
	}
	return d, nil
}
