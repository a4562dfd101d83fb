package erpsync

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/secret"
	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

const (
	// maxSecrets is how many secrets sign a message: the new one and the old one, while receivers change over.
	maxSecrets = 2
	// maxCredentials bounds how many ends are watched.
	maxCredentials = 100
)

// Notify says who is told when a tenant's connection changes state.
type Notify struct {
	// Where messages are posted. Absent: notices are Caddy events alone.
	Webhook *Webhook `json:"webhook,omitempty"`
	// How many failures in a row make a connection failing. Default: 3.
	Failures int `json:"failures,omitempty"`
	// For how long a connection may have no success after a failure until it is failing. Default: 15m.
	FailingFor caddy.Duration `json:"failing_for,omitempty"`
	// What ends on a day that an operator knows, such as a client secret: its name and the day, yyyy-mm-dd.
	Credentials []Ending `json:"credentials,omitempty"`
	// How long before its end a credential is told. Default: 14d.
	CredentialEnds caddy.Duration `json:"credential_ends,omitempty"`
	// The source of the CloudEvents, a URI. Default: /erpsync/ and the environment.
	Source string `json:"source,omitempty"`
}

// Webhook is where messages are posted.
type Webhook struct {
	// The receiver: https, or http on loopback.
	URL string `json:"url,omitempty"`
	// What messages are signed with: whsec_… as {file.…} or {env.…}. Two sign twice, the new one first, while a receiver changes over.
	Secrets []string `json:"secrets,omitempty"`
	// A file of certificates in PEM that are trusted for the receiver in place of the system's.
	Trust string `json:"trust,omitempty"`
}

// Ending is something that ends.
type Ending struct {
	Name string `json:"name,omitempty"`
	// The day, yyyy-mm-dd. It ends when that day begins, in UTC.
	Ends string `json:"ends,omitempty"`
}

// usedNotices is what a configuration says about notices.
type usedNotices struct {
	settings notify.Settings
	registry prometheus.Registerer
}

// notifiers are those in use, by the state of the gateways of which they tell.
var notifiers = caddy.NewUsagePool()

// pooledNotifier is a notifier in the pool.
type pooledNotifier struct{ *notify.Notifier }

// Destruct keeps what was seen last.
func (p pooledNotifier) Destruct() error {
	p.Close()
	return nil
}

// provisionNotices reads what the configuration says. It makes no network requests.
func (s *Service) provisionNotices(ctx caddy.Context) error {
	if s.Notify == nil {
		return nil
	}
	settings, err := s.Notify.settings(ctx.Logger())
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	s.notices = &usedNotices{settings, ctx.GetMetricsRegistry()}
	return nil
}

func (c *Notify) settings(logger *zap.Logger) (settings notify.Settings, err error) {
	settings = notify.Settings{Failures: c.Failures, FailingFor: time.Duration(c.FailingFor), CredentialEnds: time.Duration(c.CredentialEnds), Source: c.Source}
	orDefault(&settings.Failures, notify.DefaultFailures)
	orDefault(&settings.FailingFor, notify.DefaultFailingFor)
	orDefault(&settings.CredentialEnds, notify.DefaultCredentialEnds)
	if settings.Failures < 1 || settings.FailingFor < 0 || settings.CredentialEnds < 0 {
		return settings, errors.New("after and credential_ends must be positive")
	}
	if len(c.Credentials) > maxCredentials {
		return settings, fmt.Errorf("%d credentials: at most %d are watched", len(c.Credentials), maxCredentials)
	}
	for _, e := range c.Credentials {
		ends, err := parseDay(e.Ends)
		if err != nil {
			return settings, fmt.Errorf("credential %s: %w", e.Name, err)
		}
		settings.Credentials = append(settings.Credentials, notify.Credential{Name: e.Name, Ends: ends})
	}
	if c.Webhook != nil {
		if settings.Webhook, err = c.Webhook.config(logger); err != nil {
			return settings, fmt.Errorf("webhook: %w", err)
		}
	}
	return settings, nil
}

func parseDay(raw string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, raw)
	if err != nil {
		return day, fmt.Errorf("invalid day %q: want yyyy-mm-dd, such as 2027-03-31", raw)
	}
	return day, nil
}

func (w *Webhook) config(logger *zap.Logger) (*notify.WebhookConfig, error) {
	address, err := caddy.NewReplacer().ReplaceOrErr(w.URL, true, true)
	if err != nil {
		return nil, err
	}
	if _, err := notify.ParseAddress(address); err != nil {
		return nil, err
	}
	config := &notify.WebhookConfig{URL: address}
	switch {
	case len(w.Secrets) == 0:
		return nil, errors.New("secret: is needed, so that the receiver knows who writes: secret {file.<path>}")
	case len(w.Secrets) > maxSecrets:
		return nil, fmt.Errorf("secret: %d secrets: at most %d sign, the new one and the old one", len(w.Secrets), maxSecrets)
	}
	for _, raw := range w.Secrets {
		if !strings.HasPrefix(raw, "{file.") && !strings.HasPrefix(raw, "{env.") {
			return nil, errors.New("secret: secret written in plain text; use {file./path} or {env.NAME}")
		}
		source, err := secret.OpenAs("secret", raw, notify.ParseSecret, logger)
		if err != nil {
			return nil, err
		}
		config.Secrets = append(config.Secrets, auth.SecretSource(source))
	}
	config.Transport, err = w.transport()
	return config, err
}

// transport reaches the receiver and nothing else: no proxy that the environment names, no redirects.
func (w *Webhook) transport() (http.RoundTripper, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConns: 2, IdleConnTimeout: 50 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, DisableCompression: true,
	}
	if w.Trust == "" {
		return t, nil
	}
	pem, err := os.ReadFile(filepath.Clean(w.Trust))
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("trust: %s holds no certificate in PEM", w.Trust)
	}
	return t, nil
}

// takeNotifier returns the notifier of a state, which must be released; nil where nobody is told.
func (b *builder) takeNotifier(state *gateway.SharedState) (*notify.Notifier, func(), error) {
	if b.notices == nil {
		return nil, func() {}, nil
	}
	value, _, err := notifiers.LoadOrNew(state.Name, func() (caddy.Destructor, error) {
		return pooledNotifier{state.NewNotifier(b.config.EnvironmentLabel(), caddy.Log().Named("erpsync.notify"))}, nil // it outlives this configuration
	})
	if err != nil {
		return nil, nil, err
	}
	release := func() { _, _ = notifiers.Delete(state.Name) }
	notifier := value.(pooledNotifier).Notifier
	var already prometheus.AlreadyRegisteredError
	if err := b.notices.registry.Register(notifier); err != nil && !errors.As(err, &already) {
		release()
		return nil, nil, err
	}
	return notifier, release, nil
}

// readNotify reads the option notify.
func (s *Service) readNotify(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return errUsage
	}
	s.Notify = new(Notify)
	c := s.Notify
	return options(d, map[string]option{
		"webhook": {usage: "<url> { secret <secret...> … }", once: true, read: func() error { return c.readWebhook(d) }},
		"after": {usage: "<failures> [<duration>]", once: true, read: func() error {
			args := d.RemainingArgs()
			if len(args) < 1 || len(args) > 2 {
				return errUsage
			}
			failures, err := strconv.Atoi(args[0])
			if err != nil || failures < 1 {
				return d.Errf("invalid number %q: must be 1 or more", args[0])
			}
			c.Failures = failures
			if len(args) == 2 {
				return parseDuration(d, &c.FailingFor, args[1])
			}
			return nil
		}},
		"credential": {usage: "<name> <yyyy-mm-dd>", read: func() error {
			var e Ending
			if !d.AllArgs(&e.Name, &e.Ends) {
				return errUsage
			}
			if _, err := parseDay(e.Ends); err != nil {
				return d.Err(err.Error())
			}
			c.Credentials = append(c.Credentials, e)
			return nil
		}},
		"credential_ends": duration(d, &c.CredentialEnds),
		"source":          text(d, &c.Source, "<uri>"),
	})
}

func (c *Notify) readWebhook(d *caddyfile.Dispenser) error {
	c.Webhook = new(Webhook)
	w := c.Webhook
	if !d.NextArg() {
		return errUsage
	}
	w.URL = d.Val()
	if d.NextArg() {
		return errUsage
	}
	if !strings.Contains(w.URL, "{") {
		if _, err := notify.ParseAddress(w.URL); err != nil {
			return d.Errf("webhook: %v", err)
		}
	}
	return options(d, map[string]option{
		"secret": list(d, &w.Secrets, "<secret...>"),
		"trust":  text(d, &w.Trust, "<ca-file>"),
	})
}
