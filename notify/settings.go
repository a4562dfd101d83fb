package notify

import (
	"context"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// What holds where the configuration does not say.
const (
	DefaultFailures       = 3
	DefaultFailingFor     = 15 * time.Minute
	DefaultCredentialEnds = 14 * 24 * time.Hour
)

// Settings are what a configuration says about notices. They are taken over whole by every configuration that starts.
type Settings struct {
	// Failures in a row, or FailingFor since the first of them without a success, make a connection failing.
	Failures   int
	FailingFor time.Duration
	// CredentialEnds is how long before its end a credential is notified, and Credentials are those that have one.
	CredentialEnds time.Duration
	Credentials    []Credential
	// Source is the CloudEvents' source.
	Source string
	// Webhook is where messages go; nil: they are events of the process alone.
	Webhook *WebhookConfig

	// Store keeps what is known, sealed under the keys of this configuration.
	Store Store
	// Environment names the environment in notices.
	Environment string
	// Emit publishes an event of the process. It does not block.
	Emit func(name string, data map[string]any)
	// Facts returns what is on hold or suspended now, at all gateways. An error means that nobody knows.
	Facts func(ctx context.Context) ([]Fact, error)
	// Granted reports whether an app is granted in a tenant: what is known of others is dropped.
	Granted func(app, tenant string) bool
	// Approve returns where a tenant's administrator approves an app; "" if nowhere.
	Approve func(app, tenant string) string
}

// Credential is something that ends at a time that an operator knows.
type Credential struct {
	Name string
	Ends time.Time
}

// WebhookConfig is where messages are posted.
type WebhookConfig struct {
	URL string
	// Secrets sign, the newest first; each signs for itself, so that a receiver may know either.
	Secrets []auth.SecretSource
	// Transport reaches the receiver.
	Transport http.RoundTripper
}

// Fact is something that holds for as long as it is among the facts.
type Fact struct {
	// Kind is OnHold or Suspended.
	Kind Kind
	// Key tells it from others of its kind.
	Key         string
	App, Tenant string
	Connection  *int32
	Target      string
	Reason      string
	Since       time.Time
	Until       time.Time
}
