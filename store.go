package erpsync

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/redisstore"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Store says where sessions and what gateways share are kept.
type Store struct {
	// memory (default): in this process, over reloads; sessions end with it. redis:
	// in Redis or Valkey, for several gateways and over restarts; needs keys.
	Kind string `json:"kind,omitempty"`
	// host:port of the Redis, or of each Sentinel.
	Addresses []string `json:"addresses,omitempty"`
	// The name of the master that the Sentinels watch. Empty: no Sentinel.
	Sentinel string `json:"sentinel,omitempty"`
	// The password of the Sentinels themselves, as a placeholder. Empty: none.
	SentinelPassword string `json:"sentinel_password,omitempty"`
	// The ACL user. Empty: the default user.
	Username string `json:"username,omitempty"`
	// The password, as a placeholder; a file is read again for new connections. Empty: none.
	Password string `json:"password,omitempty"`
	// Speak TLS, with the system's trusted authorities or those of TLSTrust.
	TLS bool `json:"tls,omitempty"`
	// A PEM file of the authorities that the store's certificate is checked with.
	TLSTrust string `json:"tls_trust,omitempty"`
}

func (s *Store) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&s.Kind) {
		return d.ArgErr()
	}
	switch s.Kind {
	case "memory":
		return options(d, nil)
	case "redis":
	default:
		return d.Errf("store %s: want memory or redis", s.Kind)
	}
	return options(d, map[string]option{
		"address": list(d, &s.Addresses),
		"sentinel": {once: true, read: func() error {
			args := d.RemainingArgs()
			if len(args) == 0 || len(args) > 2 {
				return d.ArgErr()
			}
			s.Sentinel = args[0]
			if len(args) == 2 {
				s.SentinelPassword = args[1]
			}
			return nil
		}},
		"username": text(d, &s.Username),
		"password": text(d, &s.Password),
		"tls": {once: true, read: func() error {
			s.TLS = true
			if d.NextArg() {
				s.TLSTrust = d.Val()
			}
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		}},
	})
}

// common is what outlives a configuration and, with Redis, is shared by gateways.
// It holds nothing of the configuration that made it.
type common struct {
	sessions    session.Store
	credentials *auth.Keeper
	meter       guard.Meter
	ledger      outcome.Ledger
	marks       sync.Map // of revocations, as the store told them last
	running     guard.Running
	locker      lease.Locker // of all gateways
	shelf       auth.Shelf   // likewise
	alone       bool         // there is no other gateway
	close       func() error
	// answered is the current configuration's, which has the current metrics.
	answered atomic.Pointer[func(bool)]
}

// Destruct ends the connections, when no configuration uses them any more.
func (c *common) Destruct() error { return c.close() }

func (c *common) told(answered bool) {
	if f := c.answered.Load(); f != nil {
		(*f)(answered)
	}
}

var commons = caddy.NewUsagePool()

// provisionStore takes what an earlier configuration left, or begins anew. It asks nobody on the network.
func (h *Handler) provisionStore() error {
	if h.Store.Kind == "" {
		h.Store.Kind = "memory"
	}
	// Where it is says what it is: its tunables are the configuration's own.
	where := auth.Key(h.Store.Kind, h.environment.Base(), h.upstreamAPI)
	open := func(c *common) {
		c.sessions, c.locker, c.shelf, c.alone = session.NewMemory(0, nil), new(lease.Memory), new(auth.MemoryShelf), true
		c.close = func() error { return nil }
	}
	switch h.Store.Kind {
	case "memory":
	case "redis":
		config, err := h.Store.redis(h)
		if err != nil {
			return fmt.Errorf("store redis: %w", err)
		}
		redisstore.LogTo(func(message string) { caddy.Log().Named("erpsync.redis").Info(message) })
		where = auth.Key(where, strings.Join(h.Store.Addresses, " "), h.Store.Sentinel, h.Store.SentinelPassword, h.Store.Username, h.Store.Password, fmt.Sprint(h.Store.TLS), h.Store.TLSTrust)
		open = func(c *common) {
			config.Answered = c.told
			store := redisstore.New(config)
			c.sessions, c.locker, c.shelf, c.close = store, store, store, store.Close
		}
	default:
		return fmt.Errorf("store %q: want memory or redis", h.Store.Kind)
	}
	value, _, err := commons.LoadOrNew(where, func() (caddy.Destructor, error) {
		c := &common{credentials: auth.NewKeeper(nil)}
		open(c)
		return c, nil
	})
	if err != nil {
		return err
	}
	h.release = append(h.release, func() { _, _ = commons.Delete(where) })
	h.common = value.(*common)
	h.common.credentials.Forgive()
	h.metrics.Follow(&h.common.ledger)
	answered := func(yes bool) { h.metrics.Answered(outcome.Store, yes) }
	h.common.answered.Store(&answered)
	if !h.common.alone {
		h.sharing = &auth.Sharing{Locker: h.common.locker, Shelf: h.common.shelf, Sealer: h.ring}
	}
	return nil
}

func (s *Store) redis(h *Handler) (redisstore.Config, error) {
	config := redisstore.Config{Addresses: s.Addresses, Sentinel: s.Sentinel, Prefix: "erpsync " + h.environment.Base() + h.upstreamAPI}
	if len(s.Addresses) == 0 {
		return config, errors.New("address: say where it is, host:port")
	}
	for _, address := range s.Addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return config, fmt.Errorf("address %s: want host:port", address)
		}
	}
	if len(h.Keys) == 0 {
		return config, errors.New("needs keys: every gateway has to open what another sealed, and a restart must not lose them")
	}
	if s.Password != "" {
		password, err := newSecret("password", s.Password, h.logger)
		if err != nil {
			return config, err
		}
		config.Credentials = func() (string, string) {
			value, _ := password.get()
			return s.Username, value.Reveal()
		}
	} else if s.Username != "" {
		return config, errors.New("username without password")
	}
	if s.SentinelPassword != "" {
		password, err := newSecret("sentinel", s.SentinelPassword, h.logger)
		if err != nil {
			return config, err
		}
		config.SentinelPassword = func() string { value, _ := password.get(); return value.Reveal() }
	}
	if s.TLS {
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if s.TLSTrust != "" {
			pem, err := os.ReadFile(filepath.Clean(s.TLSTrust))
			if err != nil {
				return config, fmt.Errorf("tls: %w", err)
			}
			config.TLS.RootCAs = x509.NewCertPool()
			if !config.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return config, fmt.Errorf("tls: %s holds no certificate in PEM", s.TLSTrust)
			}
		}
	}
	return config, nil
}
