package auth

import (
	"net/http"
	"strings"
	"time"
)

// Reason is the code of a refusal: stable, part of the product's info, a label
// of metrics. The list is closed.
type Reason string

// What is wrong with the request itself.
const (
	PathNotCanonical     Reason = "path_not_canonical"
	MethodNotAllowed     Reason = "method_not_allowed"
	QueryNotUnderstood   Reason = "query_not_understood"
	UpgradeRefused       Reason = "upgrade_refused"
	EarlyData            Reason = "early_data"
	BodyTooLarge         Reason = "body_too_large"
	BodyIncomplete       Reason = "body_incomplete"
	BodyNotUnderstood    Reason = "body_not_understood"
	MediaTypeUnsupported Reason = "media_type_unsupported"
)

// Who calls.
const (
	CredentialMissing  Reason = "credential_missing"
	CredentialInvalid  Reason = "credential_invalid"
	SignInAgain        Reason = "sign_in_again"
	CrossSite          Reason = "cross_site"
	XSRFInvalid        Reason = "xsrf_invalid"
	PanelMismatch      Reason = "panel_mismatch"
	ProofUnavailable   Reason = "proof_unavailable"
	SessionUnavailable Reason = "session_store_unavailable"
)

// What the principal may do.
const (
	TenantMismatch       Reason = "tenant_mismatch"
	AppTokenMismatch     Reason = "app_token_mismatch"
	AgentNotGranted      Reason = "agent_not_granted"
	OperationNotGranted  Reason = "operation_not_granted"
	TenantNotGranted     Reason = "tenant_not_granted"
	TenantSuspended      Reason = "tenant_suspended"
	PersonNotGranted     Reason = "person_not_granted"
	ConnectionNotGranted Reason = "connection_not_granted"
	ResyncAllDenied      Reason = "resync_all_denied"
	ResyncAllUnconfirmed Reason = "resync_all_unconfirmed"
	NoSystemToken        Reason = "no_system_token"
	SwapUnavailable      Reason = "swap_unavailable"
	LookupNotGranted     Reason = "lookup_not_granted"
)

// What makes a call safe to press.
const (
	HeaderNotUnderstood   Reason = "header_not_understood"
	IdempotencyKeyMissing Reason = "idempotency_key_missing"
	CallRunning           Reason = "call_running"
	IdempotencyKeyReused  Reason = "idempotency_key_reused"
	AnswerNotKept         Reason = "answer_not_kept"
	TooManyInFlight       Reason = "too_many_in_flight"
	RateLimited           Reason = "rate_limited"
	CoolingDown           Reason = "cooling_down"
	StoreUnavailable      Reason = "store_unavailable"
	AuditUnavailable      Reason = "audit_unavailable"
	OnHold                Reason = "on_hold"
	CallNotFound          Reason = "call_not_found"
)

// What stands between the decision and the answer.
const (
	TenantNotRunning          Reason = "tenant_not_running"
	TenantUnknown             Reason = "tenant_unknown"
	StateUnavailable          Reason = "state_unavailable"
	HostNotTrusted            Reason = "host_not_trusted"
	CredentialUnavailable     Reason = "credential_unavailable"
	ConsentRequired           Reason = "consent_required"
	UpstreamCredentialRefused Reason = "upstream_credential_refused"
	UpstreamUnreachable       Reason = "upstream_unreachable"
	UpstreamAnswerRefused     Reason = "upstream_answer_refused"
	LookupFailed              Reason = "lookup_failed"
	OutcomeUnknown            Reason = "outcome_unknown"
	Internal                  Reason = "internal"
	Draining                  Reason = "draining"
)

type reasonInfo struct {
	status int
	detail string
	remedy string
}

// reasons holds each reason's HTTP status, the sentence that a caller reads, and what the operator does
// about it, as the README's table has it.
// No sentence tells a caller who has not proved itself which app, tenant or
// operation exists.
var reasons = map[Reason]reasonInfo{
	PathNotCanonical:     {http.StatusBadRequest, "The path is not spelled in the one way that is served: /api/v1/Agents/ErpSync/{operation}, with the tenant before /api Online, no percent-encoding and nothing else in it.", "nothing; somebody probes or a client misspells"},
	MethodNotAllowed:     {http.StatusMethodNotAllowed, "Operations of the agent are called with POST.", "nothing"},
	QueryNotUnderstood:   {http.StatusBadRequest, "The query may hold one $select, a list of property names with commas, and nothing else.", "nothing"},
	UpgradeRefused:       {http.StatusBadRequest, "An operation of the agent cannot be upgraded to another protocol.", "nothing"},
	EarlyData:            {http.StatusTooEarly, "The call arrived in TLS early data, which can be replayed. Send it again after the handshake.", "nothing"},
	BodyTooLarge:         {http.StatusRequestEntityTooLarge, "The body is larger than the gateway takes.", "raise `guard max_body` if it is right"},
	BodyIncomplete:       {http.StatusBadRequest, "The body did not arrive whole in time. Nothing was sent to SuperOffice.", "nothing"},
	BodyNotUnderstood:    {http.StatusBadRequest, "The body cannot be understood for certain. Nothing was sent to SuperOffice.", "nothing"},
	MediaTypeUnsupported: {http.StatusUnsupportedMediaType, "The body's content type is none that the gateway can read for certain.", "nothing"},

	CredentialMissing:  {http.StatusUnauthorized, "The call carries no credential that is taken here.", "nothing"},
	CredentialInvalid:  {http.StatusUnauthorized, "The credential did not prove itself.", "see `cause` in the audit line"},
	SignInAgain:        {http.StatusUnauthorized, "The session has ended. Sign in again.", "nothing"},
	CrossSite:          {http.StatusForbidden, "The call comes from another site.", "list the page under `browser origins` if it is yours"},
	XSRFInvalid:        {http.StatusForbidden, "X-XSRF-TOKEN is missing or is not this session's.", "nothing"},
	PanelMismatch:      {http.StatusForbidden, "The panel is shown to another person or in another tenant than is signed in here.", "nothing"},
	ProofUnavailable:   {http.StatusServiceUnavailable, "SuperOffice could not be asked whose credential this is. Nothing was sent.", "look at SuperOffice or the identity provider"},
	SessionUnavailable: {http.StatusServiceUnavailable, "The session store gives no answer. You are still signed in; try again shortly.", "look at the store"},

	TenantMismatch:       {http.StatusForbidden, "The path names another tenant than the credential.", "nothing"},
	AppTokenMismatch:     {http.StatusForbidden, "The SO-AppToken is not the app's.", "nothing"},
	AgentNotGranted:      {http.StatusForbidden, "The app is not registered for the ErpSync agent.", "ask SuperOffice's app manager, then `agents ErpSync`"},
	OperationNotGranted:  {http.StatusForbidden, "The app may not call this operation.", "list the operation under `operations`"},
	TenantNotGranted:     {http.StatusForbidden, "The app is not approved for this tenant.", "name the tenant under `tenant` or in the tenants file"},
	TenantSuspended:      {http.StatusForbidden, "Calls for this tenant are suspended.", "take `suspended` out when it may call again"},
	PersonNotGranted:     {http.StatusForbidden, "This person may not call with a credential that is not their own.", "`users`, or `call_as user`"},
	ConnectionNotGranted: {http.StatusForbidden, "The app may not resync this ERP connection in this tenant.", "list the connection under `connections`"},
	ResyncAllDenied:      {http.StatusForbidden, "The app may not resync everything in this tenant.", "change `resync_all` if it is meant"},
	ResyncAllUnconfirmed: {http.StatusForbidden, "This would resync everything. Send the header ErpSync-Confirm: all to say that it is meant.", "nothing"},
	NoSystemToken:        {http.StatusForbidden, "The tenant's administrator has not approved the app for a system user.", "send the tenant's administrator the approval link (`approve`), or import the token"},
	SwapUnavailable:      {http.StatusForbidden, "This SuperOffice cannot turn a session into a token (User/currentToken).", "upgrade SuperOffice, or use `call_as account`"},
	LookupNotGranted:     {http.StatusForbidden, "The app may not look up internal keys.", "`lookups on` for the app, if its callers may know which records have which ERP numbers"},

	HeaderNotUnderstood:   {http.StatusBadRequest, "Idempotency-Key is one printable text of up to 255 characters, ErpSync-Dry-Run is true or ask, ErpSync-Confirm is all, and each is sent once.", "nothing"},
	IdempotencyKeyMissing: {http.StatusBadRequest, "Calls of this app need an Idempotency-Key: one for each call that is meant, the same for every attempt at it. Nothing was sent.", "take `idempotency required` out if callers cannot send one"},
	CallRunning:           {http.StatusConflict, "The same call is running already. Nothing was sent.", "nothing"},
	IdempotencyKeyReused:  {http.StatusUnprocessableEntity, "This Idempotency-Key was used for another call.", "nothing"},
	AnswerNotKept:         {http.StatusConflict, "The first call with this Idempotency-Key is over; its answer was too long to be kept, or was revoked. Nothing was sent.", "the audit line of `running` has the outcome"},
	TooManyInFlight:       {http.StatusTooManyRequests, "Too many calls are running. Nothing was sent.", "raise `guard in_flight` if SuperOffice can take it"},
	RateLimited:           {http.StatusTooManyRequests, "Too many calls in a second. Nothing was sent.", "raise `guard rate`, as far as the vendor allows"},
	CoolingDown:           {http.StatusTooManyRequests, "Everything was resynced through this connection a short time ago. Nothing was sent.", "change `guard cool_down` if it is too long"},
	StoreUnavailable:      {http.StatusServiceUnavailable, "The store that guards this call gives no answer. Nothing was sent.", "look at the store"},
	AuditUnavailable:      {http.StatusServiceUnavailable, "The gateway cannot note who calls, and must. Nothing was sent.", "look at the audit log's disk and file"},
	OnHold:                {http.StatusServiceUnavailable, "Calls are on hold. Nothing was sent.", "`caddy erpsync status` says who ordered it; `caddy erpsync release` ends it"},
	CallNotFound:          {http.StatusNotFound, "No call of yours is known by that. It never began, it was refused before it was sent, or it was longer ago than answers are kept.", "nothing"},

	TenantNotRunning:          {http.StatusServiceUnavailable, "SuperOffice says that the tenant is not running.", "wait, or ask SuperOffice"},
	TenantUnknown:             {http.StatusForbidden, "SuperOffice knows no such tenant in this environment.", "check the environment"},
	StateUnavailable:          {http.StatusServiceUnavailable, "SuperOffice does not tell where the tenant lives. Nothing was sent.", "look at SuperOffice's state service"},
	HostNotTrusted:            {http.StatusBadGateway, "The tenant is said to live on a host that is not trusted. Nothing was sent.", "report it: the tenant's host is not SuperOffice's"},
	CredentialUnavailable:     {http.StatusServiceUnavailable, "No credential for the call can be had from SuperOffice now. Nothing was sent.", "look at SuperID"},
	ConsentRequired:           {http.StatusForbidden, "SuperOffice refuses the app's system user in this tenant. Its administrator has to approve the app again; a custom app gets its consent from SuperOffice's app manager.", "send the tenant's administrator the approval link (`approve`); for a custom app ask SuperOffice's app manager and look at the Development Tools subscription; if every tenant is refused, check secret and key"},
	UpstreamCredentialRefused: {http.StatusBadGateway, "SuperOffice refused the gateway's credential. Nothing was run.", "check secret, key and system token"},
	UpstreamUnreachable:       {http.StatusBadGateway, "SuperOffice could not be reached. Nothing was sent.", "look at the network (504: timed out)"},
	UpstreamAnswerRefused:     {http.StatusBadGateway, "SuperOffice answered in a way that is not passed on.", "see the audit line"},
	LookupFailed:              {http.StatusBadGateway, "SuperOffice did not answer the look-up, or in a way that cannot be trusted. This does not say that nothing was found.", "see `cause` in the audit line; `caddy erpsync probe` (question `key_archive`) says how the archives answer; look at the rights of whom the gateway calls as"},
	OutcomeUnknown:            {http.StatusFailedDependency, "The call was sent and no whole answer came: it may have run, or run still. Look before you repeat it.", "look in SuperOffice"},
	Draining:                  {http.StatusServiceUnavailable, "This gateway is stopping. Another serves you.", "nothing"},
	Internal:                  {http.StatusInternalServerError, "The gateway failed. Nothing more is known here; the operator's log says why.", "report it with the log"},
}

// Reasons lists every reason there is.
func Reasons() []Reason {
	all := make([]Reason, 0, len(reasons))
	for reason := range reasons {
		all = append(all, reason)
	}
	return all
}

// otherStatuses are those that some refusals of a reason have in place of its usual one.
var otherStatuses = map[Reason][]int{
	PathNotCanonical:    {http.StatusNotFound},       // of an endpoint that there is not
	CredentialInvalid:   {http.StatusForbidden},      // of a sign-in, after which nothing is to be sent again
	UpstreamUnreachable: {http.StatusGatewayTimeout}, // not reached in time
}

// Statuses returns the HTTP statuses that refusals of a reason have, the usual one first.
func (r Reason) Statuses() []int { return append([]int{reasons[r].status}, otherStatuses[r]...) }

// Page returns the address of what is written about a reason. It is the type of its problem documents.
func (r Reason) Page() string {
	return "https://github.com/caddy-erpsync/caddy-erpsync/blob/main/docs/errors.md#" + string(r)
}

// Detail returns the sentence that a caller reads, to which a refusal may add what it found.
func (r Reason) Detail() string { return reasons[r].detail }

// Remedy is what the operator does about a refusal, "" for a reason that there is not.
func (r Reason) Remedy() string { return reasons[r].remedy }

// Refusal is the gateway's own answer in place of SuperOffice's.
type Refusal struct {
	Reason Reason
	// Status is the HTTP status.
	Status int
	// Detail is the sentence for the caller. It holds nothing that the caller
	// did not send or may not know.
	Detail string
	// Pointer says where in the body, as a JSON pointer; "" says nothing.
	Pointer string
	// SignIn is where a browser signs in; "" says nothing.
	SignIn string
	// Approve is where the tenant's administrator approves the app; "" says nothing.
	Approve string
	// Running is the request id of the call that this one is refused for; "" says nothing.
	Running string
	// SameKey reports that the call that is Running has this one's Idempotency-Key, so that its answer will be this one's.
	SameKey bool
	// Ending names the page that a person in a browser sees, as package webpage has it; "" means the reason's.
	Ending string
	// Code is what the identity provider said in place of a sign-in, cleaned; "" says nothing. A page tells it.
	Code string
	// RetryAfter is when trying again makes sense; zero says nothing.
	RetryAfter time.Duration
	// InvalidToken reports that the caller brought a Bearer token, and it did not hold (RFC 6750, section 3.1).
	InvalidToken bool
	// Cause names the check that failed. It is for the operator's log and the audit line alone, and never holds a secret.
	Cause error
}

// leastRetry is when trying again makes sense where nothing more is known.
const leastRetry = time.Second

// Refuse makes a refusal with the reason's own status and sentence. The cause names the check that failed
// and must not be nil: without it nobody can find out why the caller was refused.
func Refuse(reason Reason, cause error) *Refusal {
	info, ok := reasons[reason]
	if !ok {
		info = reasons[Internal]
	}
	refusal := &Refusal{Reason: reason, Status: info.status, Detail: info.detail, Cause: cause}
	if info.status == http.StatusServiceUnavailable || info.status == http.StatusTooManyRequests {
		refusal.RetryAfter = leastRetry
	}
	return refusal
}

// After says when to try again.
func (r *Refusal) After(d time.Duration) *Refusal {
	r.RetryAfter = d
	return r
}

// ApproveAt says where the tenant's administrator approves the app.
func (r *Refusal) ApproveAt(url string) *Refusal {
	r.Approve = url
	return r
}

// Of names the call that this one is refused for.
func (r *Refusal) Of(requestID string) *Refusal {
	r.Running = requestID
	return r
}

// EndsOn names the page that a person sees.
func (r *Refusal) EndsOn(page string) *Refusal {
	r.Ending = page
	return r
}

func (r *Refusal) Error() string {
	if r.Cause == nil {
		return string(r.Reason)
	}
	return string(r.Reason) + ": " + r.Cause.Error()
}

func (r *Refusal) Unwrap() error { return r.Cause }

// maxCause bounds the cause in an audit line, in bytes.
const maxCause = 1024

// CauseText returns the cause in one line of bounded length; "" if there is none.
func (r *Refusal) CauseText() string {
	if r.Cause == nil {
		return ""
	}
	text := strings.ToValidUTF8(strings.ReplaceAll(r.Cause.Error(), "\n", "; "), "?")
	if len(text) > maxCause {
		text = strings.ToValidUTF8(text[:maxCause], "") + "…"
	}
	return text
}
