package secret

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// KeyPair is a certificate and its private key in two PEM files, which are read again while running. While they do not
// belong together, such as halfway through a renewal, the last good pair stays.
type KeyPair struct {
	option, certificate, key string
	logger                   *zap.Logger

	mu      sync.Mutex
	value   *tls.Certificate
	looked  time.Time
	failing string // what was logged last
}

// OpenKeyPair reads a key pair. option names it in errors and logs. It returns an error if a file cannot be read, the two do
// not belong together, or the key is readable by everybody.
func OpenKeyPair(option, certificate, key string, logger *zap.Logger) (*KeyPair, error) {
	p := &KeyPair{option: option, certificate: certificate, key: key, logger: logger, looked: time.Now()}
	var err error
	if p.value, err = p.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if stat, err := os.Stat(key); err == nil && auth.ReadableByAll(key, stat) {
		return nil, fmt.Errorf("%s: %s is readable by everybody: chmod o-r it, or close a directory above it to others", option, key)
	}
	return p, nil
}

// Get returns the pair, which was read at most maxAge ago.
func (p *KeyPair) Get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) > maxAge {
		p.look()
	}
	return p.value
}

func (p *KeyPair) look() {
	p.looked = time.Now()
	value, err := p.read()
	switch {
	case err == nil:
		p.value, p.failing = value, ""
	case err.Error() != p.failing:
		p.failing = err.Error()
		p.logger.Warn("reading a key pair again failed; keeping the last valid one", zap.String("option", p.option), zap.Error(err))
	}
}

func (p *KeyPair) read() (*tls.Certificate, error) {
	certificate, err := readFile(p.certificate)
	if err != nil {
		return nil, err
	}
	key, err := readFile(p.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return nil, fmt.Errorf("files %s and %s: %w", p.certificate, p.key, err)
	}
	return &pair, nil
}
