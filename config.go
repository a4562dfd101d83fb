package erpsync

import "github.com/caddyserver/caddy/v2"

// App is one registration in SuperOffice's developer portal; onsite just a name with grants.
type App struct {
	// The name that the rest of the configuration, logs and metrics use.
	Name string `json:"name"`
	// The client id of the registration. Online only, and needed for browser.
	ClientID string `json:"client_id,omitempty"`
	// The client secret, which is the SO-AppToken too. A placeholder ({file.*},
	// {env.*}) keeps it out of the configuration; files are read again while running.
	ClientSecret string `json:"client_secret,omitempty"`
	// The private key that signs system tokens, PEM or RSAKeyValue XML, as a placeholder.
	// With call_as system and a client_id, administrators approve at {prefix}/approve?app=&tenant=.
	PrivateKey string `json:"private_key,omitempty"`
	// off: no PKCE code challenge goes along with the client secret when people sign in, for a SuperID that does not take
	// both. The id_token must repeat the nonce then. Default: PKCE is sent.
	PKCE string `json:"pkce,omitempty"`
	// The restricted agents that SuperOffice granted to the app. None: nothing passes.
	Agents []string `json:"agents,omitempty"`
	// The operations that may be called. Default: ForceResync.
	Operations []string `json:"operations,omitempty"`
	// The ERP connections that may be resynchronised, by number; crm for calls
	// from the CRM to all. Absent: every one. Empty: none.
	Connections *[]string `json:"connections,omitempty"`
	// The tenants that approved the app; onsite none is needed.
	Tenants []*Tenant `json:"tenants,omitempty"`
	// A file with further tenants, in JSON, followed while running.
	TenantsFile string `json:"tenants_file,omitempty"`
	// Who may call through a credential that is not their own: administrators
	// (default), all, or UPNs.
	Users []string `json:"users,omitempty"`
	// What becomes of a call that resynchronises everything: deny (default),
	// confirm (needs the header ErpSync-Confirm: all) or allow.
	ResyncAll string `json:"resync_all,omitempty"`
	// required: a call that resynchronises needs an Idempotency-Key, so that a client which repeats
	// requests by itself runs none twice. Default: it may have one.
	Idempotency string `json:"idempotency,omitempty"`
	// Take SuperOffice's notices of tenants for the app. Online only; needs a client id. Absent: none is taken.
	TenantStatus *TenantStatus `json:"tenant_status,omitempty"`
	// on: callers may look up which internal key belongs to an ERP number, a CRM record or a company's name, at the
	// endpoint lookup. Default: they may not.
	Lookups string `json:"lookups,omitempty"`
	// As whom to call on: user (default), system, or account (onsite).
	CallAs string `json:"call_as,omitempty"`
	// With call_as account: user name and password.
	AccountUser     string `json:"account_user,omitempty"`
	AccountPassword string `json:"account_password,omitempty"`
}

// TenantStatus takes the pushes that SuperOffice sends to an app's State Change URL, which is {origin}{prefix}/tenant-status.
// A suspended or deleted tenant is on hold until SuperOffice resumes it, one that is to be upgraded until it runs again, one that
// was restored from a backup until somebody releases it; the host of one that moved is asked for at once. The tenants are those of the app;
// what is on hold is so for every app.
type TenantStatus struct {
	// How long a tenant that is to be upgraded is on hold at most, if the state service does not say before that it stopped and
	// runs again. At most 24 h. Default: 2 h.
	UpgradeFor caddy.Duration `json:"upgrade_for,omitempty"`
}

// Tenant is a customer that approved the app.
type Tenant struct {
	// CustNNNNN, or * for any tenant that SuperOffice lets sign in; with call_as system,
	// for any tenant whose administrator approves.
	Name string `json:"name"`
	// The system token that an approval brought, with call_as system. One that an approval through
	// {prefix}/approve or an import brought goes before it.
	SystemToken string `json:"system_token,omitempty"`
	// As the app's option of the same name, for this tenant.
	Connections *[]string `json:"connections,omitempty"`
	// As the app's option of the same name, for this tenant.
	ResyncAll string `json:"resync_all,omitempty"`
	// Refuse every call for this tenant.
	Suspended bool `json:"suspended,omitempty"`
}

// Browser lets people sign in with SuperID and keeps their sessions.
type Browser struct {
	// The app that people sign in to. Default: the only app there is.
	App string `json:"app,omitempty"`
	// Where the endpoints are: sign-in, callback, session, sign-out, approve and tenant-status. Default: /erpsync.
	// SuperOffice needs {origin}{prefix}/callback as a redirect address of the app.
	Prefix string `json:"prefix,omitempty"`
	// How long a session lives that is not used. Default: 8 h.
	Idle caddy.Duration `json:"idle,omitempty"`
	// How long a session lives at most. Default: 24 h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// How many sessions a person may have at a time; a further sign-in ends the oldest. Default: 20.
	Sessions int `json:"sessions,omitempty"`
	// Where SuperID sends a browser that has signed out there too: an address that is registered with SuperOffice for the
	// app. Default: the browser stays at SuperID.
	PostLogoutRedirect string `json:"post_logout_redirect,omitempty"`
	// For a SuperOffice web panel, an iframe on another site: cookies are
	// SameSite=None and Partitioned, and {prefix}/panel.js signs people in in a pop-up. Switching it
	// signs nobody out. Default: no.
	Framed bool `json:"framed,omitempty"`
	// Other origins whose pages may call, with cookies (CORS), and to which a sign-in may return, exactly as browsers write them. Pages that call have to be of
	// the gateway's own site (https and the same registrable domain), or browsers send them no cookie: a page of another site needs Framed.
	Origins []string `json:"origins,omitempty"`
	// Further request headers that those pages may send, beside the gateway's own and those of the usual tracing
	// libraries. They go no further than the gateway.
	AllowHeaders []string `json:"allow_headers,omitempty"`
}

// Issuer is an identity provider of the partner's, whose tokens services bring. One issuer may stand
// in several blocks, which are told apart by the audience of a token.
type Issuer struct {
	// The exact iss of its tokens.
	Issuer string `json:"issuer"`
	// A token has to be meant for one of these. Required, or client_id.
	Audience []string `json:"audience,omitempty"`
	// In place of an audience, for tokens that have no aud (access tokens of Amazon Cognito): their
	// client_id is one of these.
	ClientID []string `json:"client_id,omitempty"`
	// Where its keys are: an https URL, or a file. Default: the URL that the issuer publishes (OpenID
	// discovery), asked for when the first token comes.
	JWKS string `json:"jwks,omitempty"`
	// A PEM file of the authorities that vouch for the provider's certificate, for one
	// inside a cluster. Default: those of transport.
	Trust string `json:"trust,omitempty"`
	// How long the last valid keys stay in force while newer ones cannot be had. Default: 24 h.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
	// The signature algorithms that are taken. Default: RS256. HMAC is never taken.
	Algorithms []string `json:"algorithms,omitempty"`
	// The subjects that may call, each exact or up to a trailing *. None: every subject that gets a token for the audience.
	Subjects []string `json:"subjects,omitempty"`
	// Claims that must hold one of some values each. All have to.
	Require []*Requirement `json:"require,omitempty"`
	// The app that its tokens call for: a name, or the path of the claim that holds the name.
	App      string `json:"app,omitempty"`
	AppClaim string `json:"app_claim,omitempty"`
	// The tenant that its tokens call in: CustNNNNN, or the path of the claim that holds it. Online only.
	Tenant      string `json:"tenant,omitempty"`
	TenantClaim string `json:"tenant_claim,omitempty"`
	// Its tokens call in the tenant that the request's path names, if the app lists that one by name.
	TenantFromPath bool `json:"tenant_from_path,omitempty"`
}

// Requirement is a claim that a token must have.
type Requirement struct {
	// The claim's name, or its path with dots.
	Claim string `json:"claim"`
	// The claim must be one of these, hold one in its list, or have one among its words.
	Values []string `json:"values"`
}

// SuperOffice says which SuperOffice credentials of callers are taken.
type SuperOffice struct {
	// Some of session, bearer, soticket and basic (onsite only).
	Schemes []string `json:"schemes,omitempty"`
	// The app that such callers call for. Default: the only app there is.
	App string `json:"app,omitempty"`
}

// Store says where sessions and what gateways share are kept.
type Store struct {
	// memory (default): in this process, over reloads; sessions end with it. redis:
	// in Redis or Valkey, for several gateways and over restarts; needs keys.
	Kind string `json:"kind,omitempty"`
	// host:port of the Redis, of each Sentinel, or of nodes of a Cluster: one that answers is enough. Or unix//path, the
	// socket of a Redis on this machine.
	Addresses []string `json:"addresses,omitempty"`
	// The addresses are of nodes of a Cluster. Everything lies in one slot of it.
	Cluster bool `json:"cluster,omitempty"`
	// Refuse resyncs with 503 store_unavailable while the store gives no answer. Default: each gateway goes on for
	// itself, so that the same call may run once on each of them.
	Strict bool `json:"strict,omitempty"`
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
	// PEM files of the certificate, with what it was issued by, and of its private key, by which the store knows the gateway.
	// They are read again for new connections. Both or none; they need TLS. Default: none.
	TLSClientCertificate string `json:"tls_client_certificate,omitempty"`
	TLSClientKey         string `json:"tls_client_key,omitempty"`
	// How long one question may take, with dialling and a second attempt. After one without an answer the next ones
	// fail at once, so that a call waits no longer than this in sum. 50 ms to 5 s, since a lease lives for ten. Default: 800 ms.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

// Guard makes a call that can rewrite an ERP safe to press. The same call twice
// at once is always refused.
type Guard struct {
	// The largest body of a call, in bytes. Default: 2 MiB.
	MaxBody int64 `json:"max_body,omitempty"`
	// How long a body may take to arrive. Default: 10 s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`
	// How many calls may run at a time through one ERP connection of a tenant. Default: 4. Below zero: no limit.
	InFlightConnection int `json:"in_flight_connection,omitempty"`
	// How many calls of an app may run at a time in one tenant. Default: 10. Below zero: no limit.
	InFlightTenant int `json:"in_flight_tenant,omitempty"`
	// How many calls of an app may run at a time. Default: 500. Below zero: no limit.
	InFlightApp int `json:"in_flight_app,omitempty"`
	// How many calls an app may begin in one tenant in a second, at each gateway; the gateway's own
	// questions count. Default: 10, which the vendor's checklist asks for. Below zero: no limit.
	Rate float64 `json:"rate,omitempty"`
	// How long a call over rate or in_flight waits for its turn, before it is refused with 429. Tenants take turns, and in
	// a tenant its connections; at most 100 calls of a tenant and 1000 of an app wait. At most 5 m.
	// Default: zero, not at all.
	Wait caddy.Duration `json:"wait,omitempty"`
	// After a resync of everything, how long the next one through the same
	// connection is refused. Default: zero, not at all.
	CoolDown caddy.Duration `json:"cool_down,omitempty"`
	// How long the answer is kept to a call with Idempotency-Key, and to one with Prefer: respond-async. Default: 24 h.
	Idempotency caddy.Duration `json:"idempotency,omitempty"`
	// How many calls of an app may run at a time at each gateway that their callers do not wait for (Prefer:
	// respond-async); a further one is refused with 429. They count among those in flight too. Default: 100. Below zero: none may, and the
	// header is ignored.
	Async int `json:"async,omitempty"`
}

// Audit says what is recorded of each call, and how much of a person.
type Audit struct {
	// Refuse calls with 503 audit_unavailable while audit lines cannot be written, before anything is sent. A log has
	// to take the logger http.handlers.erpsync.audit. Default: calls go on, and the lost lines are counted.
	Required bool `json:"required,omitempty"`
	// How the caller is named: full (default), hash or omit. A hash is keyed with
	// the first of keys, so that it can be compared between gateways which share them.
	Principals string `json:"principals,omitempty"`
	// What becomes of UserExplanation and TechExplanation, which can hold personal
	// data: omit (default), hash or full.
	Explanations string `json:"explanations,omitempty"`
	// Send a caller's $select as it is. Without it IsOk, Status and ErrorCode are asked
	// for as well; with it the outcome of a call that leaves them out is masked.
	KeepSelect bool `json:"keep_select,omitempty"`
	// Send the trace context (traceparent, tracestate) upstream. Default: it stays here.
	ForwardTrace bool `json:"forward_trace,omitempty"`
}
