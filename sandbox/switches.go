package sandbox

import "time"

// Switches are how the sandbox behaves where no source documents SuperOffice, or where sources
// disagree, and the failures that it can be asked for. It is plain data: the zero value is the
// default of every switch. The tag switch is a field's name in JSON, at the control endpoint and
// on the command line; values are what a text may be, the default first; docs/sandbox.md has a
// row for each. They may be changed at any time.
type Switches struct {
	// PKCE is what becomes of a code_challenge that comes beside a client secret: it is checked
	// when it was sent, ignored, required, or refused.
	PKCE string `switch:"pkce" values:"checked ignored required refused"`
	// Nonce is whether the id_token repeats the nonce of the sign-in.
	Nonce string `switch:"nonce" values:"present absent wrong"`
	// UPN is whether the id_token names the person by UPN; without, sub is the associate id.
	UPN string `switch:"upn" values:"present absent"`
	// APIClaims is whether the id_token has webapi_url and netserver_url.
	APIClaims string `switch:"api_claims" values:"present absent"`
	// SystemAPIClaims is the same for the system user's JWT.
	SystemAPIClaims string `switch:"system_api_claims" values:"present absent"`
	// NumericIAT writes iat as a number; SuperOffice has been seen to write a string.
	NumericIAT bool `switch:"numeric_iat"`
	// AudienceInList writes aud as a list.
	AudienceInList bool `switch:"audience_in_list"`
	// TokenKid puts a kid into token headers; none has x5t alone.
	TokenKid string `switch:"token_kid" values:"none hex base64url"`
	// KeysInCertificates publishes the signing keys as x5c alone, in X.509 v1 certificates.
	KeysInCertificates bool `switch:"keys_in_certificates"`
	// JWKSFault is how SuperID's keys fail.
	JWKSFault string `switch:"jwks_fault" values:"none empty html 500 hang"`
	// CallbackIss is whether the answer to the redirect_uri names its issuer (RFC 9207).
	CallbackIss string `switch:"callback_iss" values:"absent present wrong"`
	// Logout is what SuperID's end-session endpoint does with a post_logout_redirect_uri: it
	// redirects there, shows a page, or redirects only with an id_token_hint that it signed.
	Logout string `switch:"logout" values:"redirect page hint"`
	// Revocation is whether there is an endpoint that revokes tokens.
	Revocation string `switch:"revocation" values:"present absent"`
	// ApprovalError is how SuperID ends every sign-in of an app with a system user: the error and,
	// behind a space, its description. Empty: as the person decides.
	ApprovalError string `switch:"approval_error"`

	// TokenError is how the token endpoint fails: with an error of RFC 6749, with one that no standard has (unknown),
	// with 400 and no body (empty), or as a server that is down does.
	TokenError string `switch:"token_error" values:"none invalid_grant invalid_client unauthorized_client invalid_request unknown empty 500 html hang"`
	// TokenErrorAt is which grants fail.
	TokenErrorAt string `switch:"token_error_at" values:"any code refresh"`
	// TokenErrorTimes is how often, after which TokenError is none; 0 has no end.
	TokenErrorTimes int `switch:"token_error_times"`
	// AccessLifetime is how long access tokens live; 0 is an hour.
	AccessLifetime time.Duration `switch:"access_lifetime" default:"1h0m0s"`
	// ExpiresInText writes expires_in as a string.
	ExpiresInText bool `switch:"expires_in_text"`
	// RefreshToken is what a refresh does to its token: it is kept, replaced by another that the
	// answer brings, or never given out at all.
	RefreshToken string `switch:"refresh_token" values:"kept rotated withheld"`
	// RedirectURIAtRefresh is whether a refresh needs the sign-in's redirect_uri.
	RedirectURIAtRefresh string `switch:"redirect_uri_at_refresh" values:"optional required"`

	// TokenOnApprovalOnly puts system_token into the id_token of the administrator who just approved,
	// and of none who signs in later.
	TokenOnApprovalOnly bool `switch:"token_on_approval_only"`
	// OneRefusal refuses a system token that is wrong with the words for one whose consent has expired.
	OneRefusal bool `switch:"one_refusal"`
	// SystemTokenSkew is how far the time in a signed system token may be off; 0 is five minutes.
	SystemTokenSkew time.Duration `switch:"system_token_skew" default:"5m0s"`
	// SystemUserFault is how the system user's login fails.
	SystemUserFault string `switch:"system_user_fault" values:"none 500 html hang"`
	// SystemJWT is what is wrong with the system user's JWT.
	SystemJWT string `switch:"system_jwt" values:"good wrong_issuer wrong_audience wrong_tenant wrong_signature"`
	// TicketLifetime is how long a ticket lives from its last use; 0 is six hours.
	TicketLifetime time.Duration `switch:"ticket_lifetime" default:"6h0m0s"`
	// TicketForgotten is how long after its minting a ticket is not known any more, used or not; 0 is never.
	TicketForgotten time.Duration `switch:"ticket_forgotten" default:"0s"`
	// WithdrawnTokens is what becomes of credentials that are out when the consent is withdrawn: they
	// live on, or are refused with that status. Refused ones cannot be refreshed either.
	WithdrawnTokens string `switch:"withdrawn_tokens" values:"live 401 403"`
	// ExpiredToken is the status for an access token or ticket that has expired.
	ExpiredToken string `switch:"expired_token" values:"401 403"`

	// ConnectionArchive is what the archive of ERP connections answers, and how it writes values: as what they
	// are, as texts, or without heeding the filter.
	ConnectionArchive string `switch:"connection_archive" values:"typed texts unfiltered 403 404 html"`
	// KeyArchives is what the archives Dynamic and Contact answer, in which keys, ERP numbers and companies are found, and how
	// they write values: as what they are, as texts, without heeding the filter, or in no order.
	KeyArchives string `switch:"key_archives" values:"typed texts unfiltered unordered 403 404 html"`
	// FilterQuote is how a quote is written inside a text of an archive's filter: behind a backslash, or twice.
	FilterQuote string `switch:"filter_quote" values:"backslash doubled"`
	// TenantPath is how the state service and the claims spell the tenant in API addresses:
	// Cust12345 or cust12345, as under app.superoffice.com.
	TenantPath string `switch:"tenant_path" values:"capital lower"`
	// StateFault is how the state service fails.
	StateFault string `switch:"state_fault" values:"none 404 500 html hang"`
	// StateValidFor is how far ahead ValidUntil is; 0 is an hour.
	StateValidFor time.Duration `switch:"state_valid_for" default:"1h0m0s"`

	// NoCurrentToken has User/currentToken answer 404.
	NoCurrentToken bool `switch:"no_current_token"`
	// Refusal is how a restricted agent is refused: three bodies, none at all or a page, with 403;
	// unauthorized is a 401, not_found a 404.
	Refusal string `switch:"refusal" values:"error message aspnet empty html unauthorized not_found"`
	// WithoutRights is the logon name of the person who may not use the agent, at every tenant.
	WithoutRights string `switch:"without_rights"`
	// RightsRefusal is how that person is refused: 403, or 200 with IsOk:false.
	RightsRefusal string `switch:"rights_refusal" values:"403 outcome"`

	// Fault is how calls fail. Those of 401, 403, 421, 429 and 503 run nothing; behind 500, html, hang, cut
	// (an answer that breaks off) and abort (none at all) the operation was carried out.
	Fault string `switch:"fault" values:"none 401 403 421 429 500 503 html hang cut abort"`
	// FaultAt is which calls fail: the agent's or all of the WebAPI.
	FaultAt string `switch:"fault_at" values:"agent api"`
	// FaultTimes is how often, after which Fault is none; 0 has no end.
	FaultTimes int `switch:"fault_times"`
	// FaultTenant is the tenant whose calls fail; empty is any.
	FaultTenant string `switch:"fault_tenant"`
	// FaultConnection is the connection whose resyncs fail; 0 is any.
	FaultConnection int `switch:"fault_connection"`
	// RetryAfter is the Retry-After of 429 and 503; empty sends none, as no source mentions one.
	RetryAfter string `switch:"retry_after"`

	// Outcome is what a resync comes to; as_it_is leaves it to the connection and the keys.
	// warn is how the prose spells the status that the wire has as Warning; nulled has neither IsOk
	// nor Status; null is the body null; no_content is an empty 204.
	Outcome string `switch:"outcome" values:"as_it_is ok info warning warn error contradictory nulled null no_content"`
	// UnknownKey is what an internal key that there is not does to a resync: it fails, or the key is passed over.
	UnknownKey string `switch:"unknown_key" values:"error ignored"`
	// ERP is whether the ERP systems answer; gone has every resync fail as connection 613 does.
	ERP string `switch:"erp" values:"up gone"`
	// ERPDuration is how long a resync takes.
	ERPDuration time.Duration `switch:"erp_duration" default:"0s"`

	// PushClaims is what the token of a tenant status push says beside who sent it: everything, the tenant, or nothing.
	PushClaims string `switch:"push_claims" values:"all tenant none"`
	// PushKey is what signs it: SuperID's key, or one that SuperID's JWKS does not have.
	PushKey string `switch:"push_key" values:"superid other"`
}

// Switch changes how the sandbox behaves. It panics if a switch is given a value that it does not have,
// since that is a mistake of the test that does so.
func (s *Sandbox) Switch(change func(*Switches)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.switches
	change(&changed)
	if err := changed.Validate(); err != nil {
		panic("sandbox: " + err.Error())
	}
	s.switches = changed
}

// Switches returns how the sandbox behaves now.
func (s *Sandbox) Switches() Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.switches
}
