// Package sandboxtest makes sandboxes cheap, for tests that make hundreds of them.
package sandboxtest

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// keys are made once in a process, when they are first wanted. One sandbox needs four, and one more for each that is rotated.
var keys [8]func() (*rsa.PrivateKey, error)

func init() {
	for i := range keys {
		keys[i] = sync.OnceValues(generate)
	}
}

func generate() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// Keys has a sandbox take the keys that other sandboxes of this process have. No two keys of one sandbox are the same. Each
// sandbox needs an option of its own.
func Keys() sandbox.Option {
	var mu sync.Mutex
	taken := 0
	return sandbox.WithKeys(func() (*rsa.PrivateKey, error) {
		mu.Lock()
		i := taken
		taken++
		mu.Unlock()
		if i < len(keys) {
			return keys[i]()
		}
		return generate()
	})
}
