package gateway

import (
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Config is what a gateway is built from. It is plain data, complete and already
// validated: defaults are filled in, names refer to things that exist.
type Config struct {
	// Environment is SuperOffice Online's; zero for an onsite installation.
	Environment superoffice.Environment
	// Upstream is the WebAPI of an onsite installation, up to and with /api; "" Online.
	Upstream string
	// Paths are the canonical paths of the agent.
	Paths superoffice.Paths
	// Keys seal everything of the gateway's own: the first seals, all open. At least one.
	Keys [][]byte

	Apps        []AppConfig
	Issuers     []idp.Config   // of tokens that services bring
	Sessions    *SessionConfig // nil: no browser sessions are taken
	SuperOffice SuperOfficeConfig
	// Origins are the origins whose pages may call.
	Origins auth.Origins
	// AllowHeaders are further request headers that those pages may send.
	AllowHeaders []string
	// Base is the path before every path of the gateway's, as people see it: what a proxy in front takes off; "" mostly.
	Base  string
	Links Links

	Limits guard.Limits
	// MaxBody bounds a call's body, in bytes; BodyTimeout the time that it may take to arrive.
	MaxBody     int64
	BodyTimeout time.Duration
	// Wait is how long a call over one of Limits waits for its turn; zero: it is refused at once.
	Wait time.Duration
	// CoolDown keeps resyncs of everything through one connection apart; zero: not at all.
	CoolDown time.Duration
	// Idempotency is how long the answer is kept to a call with an Idempotency-Key, and to one that outlives its connection.
	Idempotency time.Duration
	// Async is how many calls of an app outlive their connections at a time. Zero or less: none does, and Prefer: respond-async
	// is ignored.
	Async int

	// StrictStore refuses resyncs while the store that gateways share gives no answer.
	StrictStore bool

	// AuditRequired refuses calls whose audit line cannot be written.
	AuditRequired bool
	Privacy       outcome.Privacy
	// KeepSelect sends a caller's $select as it was understood, without the fields that the outcome is read from.
	KeepSelect bool
	// ForwardTrace sends the trace context upstream.
	ForwardTrace bool
}

// EnvironmentLabel names the environment to operators: its name, its base URL if
// it has none of its own, or the URL of an onsite WebAPI.
func (c *Config) EnvironmentLabel() string {
	switch {
	case c.Upstream != "":
		return c.Upstream
	case c.Environment.Name() == "custom":
		return c.Environment.Base()
	}
	return c.Environment.Name()
}

// AppConfig is one registration in SuperOffice's developer portal; onsite just a name with grants.
type AppConfig struct {
	Name         string
	ClientID     string
	ClientSecret auth.SecretSource // nil: none; it is the SO-AppToken too
	PrivateKey   auth.SecretSource // nil: none; signs system tokens

	Agents      []string
	Operations  []superoffice.Operation
	Connections *auth.Connections // nil: every one
	Users       auth.Users
	ResyncAll   auth.ResyncAll
	CallAs      auth.CallAs
	// WithoutPKCE signs people in without PKCE beside the client secret; the nonce is required then.
	WithoutPKCE bool
	// KeyRequired refuses calls that resynchronise and have no Idempotency-Key.
	KeyRequired bool
	// Lookups lets the app's callers look up internal keys.
	Lookups bool

	// TenantStatus takes SuperOffice's notices of tenants for the app; nil: it takes none.
	TenantStatus *TenantStatusConfig

	// AccountUser and AccountPassword are an onsite service account's.
	AccountUser     string
	AccountPassword auth.SecretSource

	// Tenants are those that the configuration names, AnyTenant the grant of every
	// other there is (nil: none), TenantsFile a file with further ones ("": none).
	Tenants     auth.Tenants
	AnyTenant   *auth.TenantGrant
	TenantsFile string
}

// TenantStatusConfig says what becomes of SuperOffice's notices.
type TenantStatusConfig struct {
	// UpgradeFor is how long a tenant that is to be upgraded is on hold at most, if it is not seen stopped and running
	// again before.
	UpgradeFor time.Duration
}

// SessionConfig bounds the sessions of people who signed in with SuperID.
type SessionConfig struct {
	// App is the app that they sign in to.
	App string
	// Framed is for a web panel, an iframe on another site: cookies are SameSite=None and Partitioned.
	Framed bool
	// Idle ends a session that is not used, Lifetime every one. Zero: the defaults of package session.
	Idle, Lifetime time.Duration
	// PerPerson bounds a person's sessions. Zero: the default of package session.
	PerPerson int
}

// SuperOfficeConfig says which SuperOffice credentials of callers are taken. The zero value takes none.
type SuperOfficeConfig struct {
	Schemes []auth.Scheme
	// App is the app that such callers call for.
	App string
}

// Links are addresses that refusals offer. Their pages are not the core's.
type Links struct {
	// SignIn is where a person signs in; "" if nobody can.
	SignIn string
	// Calls is where callers ask for calls of their own, without a slash at its end. "" if nobody can.
	Calls string
	// Approve returns where an administrator of the tenant approves the app.
	Approve func(app string, tenant superoffice.Tenant) string
	// Probe returns where a person begins the sign-ins of a probe.
	Probe func(key string) string
}
