package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// The defaults are those that Caddyfile.example expects.
const (
	defaultListen  = "127.0.0.1:8088"
	defaultSecrets = "sandbox-secrets"
	// savedFile holds all secrets of the sandbox between two runs.
	savedFile = "sandbox.json"
	// providerFile holds the key of the identity provider of the sandbox's services.
	providerFile = "provider.key"
)

// sandboxOptions are those of caddy erpsync sandbox.
type sandboxOptions struct {
	listen, secrets, onsite, control string
	behaviours                       []string // name=value
	tenants                          int
}

// runningSandbox is a sandbox behind a listener whose secrets are in a folder.
type runningSandbox struct {
	*sandbox.Sandbox
	provider *Provider
	dir      string
	stop     func()

	mu    sync.Mutex
	saved []byte
}

func runSandbox(ctx context.Context, out io.Writer, options sandboxOptions) error {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	so, err := openSandbox(ctx, options)
	if err != nil {
		return err
	}
	defer so.stop()
	so.introduce(out, options)
	<-ctx.Done()
	return so.save()
}

// openSandbox starts a sandbox that takes over what an earlier one left in the folder.
func openSandbox(ctx context.Context, o sandboxOptions) (*runningSandbox, error) {
	host, port, err := net.SplitHostPort(o.listen)
	if host == "localhost" { // its addresses would be two
		host, o.listen = "127.0.0.1", net.JoinHostPort("127.0.0.1", port)
	}
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("--listen %s: the sandbox is for loopback alone, for example %s", o.listen, defaultListen)
	}
	var switches sandbox.Switches
	for _, behaviour := range o.behaviours {
		name, value, ok := strings.Cut(behaviour, "=")
		if !ok {
			return nil, fmt.Errorf("--behaviour %s: must be name=value, for example fault=401", behaviour)
		}
		if err := switches.Set(name, value); err != nil {
			return nil, fmt.Errorf("--behaviour %s: %w", behaviour, err)
		}
	}
	if o.onsite != "" && !regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`).MatchString(o.onsite) {
		return nil, fmt.Errorf("--onsite %s: must be a directory, for example /crm7", o.onsite)
	}
	if err := os.MkdirAll(o.secrets, 0o700); err != nil {
		return nil, err
	}
	all := []sandbox.Option{sandbox.WithSwitches(switches), sandbox.WithOnsite(o.onsite), sandbox.WithTenants(o.tenants)}
	raw, err := os.ReadFile(filepath.Join(o.secrets, savedFile))
	switch {
	case err == nil:
		all = append(all, sandbox.WithSaved(raw))
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	provider, err := openProvider(filepath.Join(o.secrets, providerFile))
	if err != nil {
		return nil, err
	}
	so, stop, err := startSandbox(o.listen, all...)
	if err != nil {
		var network *net.OpError
		switch {
		case errors.As(err, &network):
			err = fmt.Errorf("--listen %s: %w; stop what listens there, perhaps another sandbox, or choose another port", o.listen, err)
		case raw != nil:
			err = fmt.Errorf("%w; to begin with new secrets, delete %s", err, filepath.Join(o.secrets, savedFile))
		}
		return nil, err
	}
	running := &runningSandbox{Sandbox: so, provider: provider, dir: o.secrets, stop: stop}
	if o.control != "" {
		if _, err := so.Control(ctx, []byte(o.control)); err != nil {
			stop()
			return nil, fmt.Errorf("--control: %w", err)
		}
	}
	if err := running.save(); err != nil {
		stop()
		return nil, err
	}
	// What is out has to survive a kill as well, so it is written before it leaves.
	so.OnChange(func() {
		if err := running.save(); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox: secrets not saved:", err)
		}
	})
	return running, nil
}

func openProvider(file string) (*Provider, error) {
	raw, err := os.ReadFile(filepath.Clean(file))
	if err == nil {
		provider, err := ParseProvider(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; to begin with a new one, delete the file", file, err)
		}
		return provider, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	provider, err := NewProvider()
	if err != nil {
		return nil, err
	}
	return provider, writeFile(file, provider.KeyPEM())
}

// save writes the sandbox's secrets if they have changed.
func (s *runningSandbox) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved, err := s.Save()
	if err != nil || bytes.Equal(saved, s.saved) {
		return err
	}
	if err := writeFile(filepath.Join(s.dir, savedFile), saved); err != nil {
		return err
	}
	if err := WriteSecrets(s.dir, s.Sandbox, s.provider); err != nil {
		return err
	}
	if s.saved == nil {
		if err := writeFile(filepath.Join(s.dir, "service.token"), []byte(s.provider.Token("Cust12345", 24*time.Hour)+"\n")); err != nil {
			return err
		}
	}
	s.saved = saved
	return nil
}

// writeFile replaces a file as a whole, so that nobody reads half of it.
func writeFile(file string, content []byte) error {
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func startSandbox(listen string, options ...sandbox.Option) (*sandbox.Sandbox, func(), error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, nil, err
	}
	so, err := sandbox.New("http://"+listener.Addr().String(), options...)
	if err != nil {
		_ = listener.Close()
		return nil, nil, err
	}
	server := &http.Server{Handler: so, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
		}
	}()
	return so, func() { _ = server.Close() }, nil
}
