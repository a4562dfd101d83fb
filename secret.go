package erpsync

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// secretAge is how long the value of a placeholder is used before it is looked up again.
const secretAge = 2 * time.Second

// secret is a configured value that may be a placeholder. A file's content is
// read again while running, so that a secret can be replaced; while it cannot be
// read, the last good value stays.
type secret struct {
	raw string

	mu     sync.Mutex
	value  auth.Secret
	looked time.Time
}

func newSecret(option, raw string, logger *zap.Logger) (*secret, error) {
	s := &secret{raw: raw}
	value, err := resolve(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if !strings.Contains(raw, "{") {
		logger.Warn("a secret stands in the configuration; write it as {file./path} or {env.NAME}", zap.String("option", option))
	}
	if path, ok := strings.CutPrefix(raw, "{file."); ok {
		if stat, err := os.Stat(strings.TrimSuffix(path, "}")); err == nil && stat.Mode().Perm()&0o004 != 0 {
			return nil, fmt.Errorf("%s: %s is readable by everybody: chmod o-r it", option, strings.TrimSuffix(path, "}"))
		}
	}
	s.value, s.looked = value, time.Now()
	return s, nil
}

func (s *secret) get() (auth.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) > secretAge {
		s.look()
	}
	return s.value, nil
}

// again reads the secret at once, however short ago it was read.
func (s *secret) again() auth.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.value
}

// latest is again for those who can do with an error.
func (s *secret) latest() (auth.Secret, error) { return s.again(), nil }

func (s *secret) look() {
	s.looked = time.Now()
	if value, err := resolve(s.raw); err == nil {
		s.value = value
	}
}

// resolve looks a placeholder up. Its errors name the placeholder, never a value.
func resolve(raw string) (auth.Secret, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(raw, true, true)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("the placeholder in it has no value (is the variable set, or the file there?): %w", err)
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return auth.Secret{}, errors.New("empty")
	}
	return auth.NewSecret(value), nil
}
