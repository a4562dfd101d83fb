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
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/redisstore"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/secret"
)

// Within these bounds a store that is there can answer, and a lease, which lives for ten seconds, is renewed before it ends.
const (
	leastStoreTimeout = 50 * time.Millisecond
	maxStoreTimeout   = 5 * time.Second
)

// states are shared by configurations that use the same store for the same SuperOffice.
var states = caddy.NewUsagePool()

// pooledState is shared state with the connections that it was built over.
type pooledState struct {
	*gateway.SharedState
	close func() error
}

// Destruct ends the connections, when no configuration uses them any more.
func (s *pooledState) Destruct() error {
	s.Close()
	return s.close()
}

// sharedState returns what an earlier configuration left, or begins anew. It makes no network requests.
func (b *builder) sharedState() (state *gateway.SharedState, release func(), err error) {
	store := &b.h.Store
	// What identifies the state is what it is, never its tunables.
	key := auth.Key("memory", b.config.Environment.Base(), b.config.Upstream)
	open := func() *pooledState {
		return &pooledState{gateway.NewMemoryState(), func() error { return nil }}
	}
	switch store.Kind {
	case "", "memory":
	case "redis":
		config, trust, err := b.redis(store)
		if err != nil {
			return nil, nil, fmt.Errorf("store redis: %w", err)
		}
		redisstore.LogTo(func(message string) { caddy.Log().Named("erpsync.redis").Info(message) })
		key = auth.Key("redis", b.config.Environment.Base(), b.config.Upstream, strings.Join(store.Addresses, " "), store.Sentinel, store.SentinelPassword, store.Username, store.Password, fmt.Sprint(store.TLS, store.Cluster, store.Timeout), store.TLSTrust, trust, store.TLSClientCertificate, store.TLSClientKey)
		open = func() *pooledState { return openRedis(config) }
	default:
		return nil, nil, fmt.Errorf("store %q: want memory or redis", store.Kind)
	}
	value, _, err := states.LoadOrNew(key, func() (caddy.Destructor, error) {
		opened := open()
		opened.Name = key
		return opened, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return value.(*pooledState).SharedState, func() { _, _ = states.Delete(key) }, nil
}

func openRedis(config redisstore.Config) *pooledState {
	state := new(pooledState)
	config.Answered = func(access redisstore.Access, err error) { state.StoreAnswered(access == redisstore.Write, err) }
	config.Inspected = func(found redisstore.Inspection) { state.StoreEvicts(found.Policy, found.Evicted, found.Err) }
	store := redisstore.New(config)
	state.SharedState, state.close = gateway.NewSharedState(store.Sessions, store.Leases, store.Values, false), store.Close
	state.KeepRoster(store.Gateways)
	state.ShareHealth(store.Board)
	state.ShareLimits(store.Claims)
	state.WatchStore(store.Watch)
	return state
}

// redis returns how a store is reached, and the authorities that it is trusted by, in PEM, where a file has them.
func (b *builder) redis(s *Store) (config redisstore.Config, trust string, err error) {
	config = redisstore.Config{Sentinel: s.Sentinel, Cluster: s.Cluster, Prefix: "erpsync " + b.config.Environment.Base() + b.config.Upstream, Timeout: time.Duration(s.Timeout)}
	if s.Timeout != 0 && (config.Timeout < leastStoreTimeout || config.Timeout > maxStoreTimeout) {
		return config, "", fmt.Errorf("timeout %s: want %s to %s", config.Timeout, leastStoreTimeout, maxStoreTimeout)
	}
	if config.Addresses, err = storeAddresses(s); err != nil {
		return config, "", err
	}
	if len(b.h.Keys) == 0 {
		return config, "", errors.New("needs keys: every gateway has to open what another sealed, and a restart must not lose them")
	}
	if s.Password != "" {
		password, err := secret.Open("password", s.Password, b.logger)
		if err != nil {
			return config, "", err
		}
		config.Credentials = func() (string, string) { return s.Username, password.Get().Reveal() }
	} else if s.Username != "" {
		return config, "", errors.New("username without password")
	}
	if s.SentinelPassword != "" {
		password, err := secret.Open("sentinel", s.SentinelPassword, b.logger)
		if err != nil {
			return config, "", err
		}
		config.SentinelPassword = func() string { return password.Get().Reveal() }
	}
	config.TLS, trust, err = b.storeTLS(s)
	return config, trust, err
}

// storeAddresses returns where the store is, a socket as its path.
func storeAddresses(s *Store) ([]string, error) {
	if len(s.Addresses) == 0 {
		return nil, errors.New("address: say where it is, host:port or unix//path")
	}
	var all []string
	socket := false
	for _, address := range s.Addresses {
		if path, is := strings.CutPrefix(address, "unix/"); is {
			if !filepath.IsAbs(path) {
				return nil, fmt.Errorf("address %s: want unix//path, with the whole path", address)
			}
			socket = true
			all = append(all, path)
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("address %s: want host:port or unix//path", address)
		}
		all = append(all, address)
	}
	switch {
	case socket && (s.Cluster || s.Sentinel != "" || len(all) > 1):
		return nil, errors.New("address: a unix socket leads to one Redis on this machine; it stands alone, without sentinel and cluster")
	case socket && s.TLS:
		return nil, errors.New("tls: Redis speaks none at a unix socket; take it out")
	case s.Cluster && s.Sentinel != "":
		return nil, errors.New("sentinel and cluster: a Cluster promotes replicas by itself; say one of them")
	case len(all) > 1 && s.Sentinel == "" && !s.Cluster:
		return nil, fmt.Errorf("address: %d addresses; say what they are, sentinel <master> or cluster: two Redis servers that know nothing of each other cannot be shared", len(all))
	}
	return all, nil
}

// storeTLS returns how TLS is spoken, or nil, and the authorities in PEM that a file has.
func (b *builder) storeTLS(s *Store) (config *tls.Config, trust string, err error) {
	if !s.TLS {
		if s.TLSClientCertificate != "" || s.TLSClientKey != "" {
			return nil, "", errors.New("tls_client_auth: a certificate is shown over TLS alone; add tls")
		}
		return nil, "", nil
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLSTrust != "" {
		pem, err := os.ReadFile(filepath.Clean(s.TLSTrust))
		if err != nil {
			return nil, "", fmt.Errorf("tls: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, "", fmt.Errorf("tls: %s holds no certificate in PEM", s.TLSTrust)
		}
		trust = string(pem)
	}
	if s.TLSClientCertificate != "" || s.TLSClientKey != "" {
		pair, err := secret.OpenKeyPair("tls_client_auth", s.TLSClientCertificate, s.TLSClientKey, b.logger)
		if err != nil {
			return nil, "", err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.Get(), nil }
	}
	return config, trust, nil
}
