package superid

import "strings"

// Approval says how an administrator's approval of an app ended, where SuperID brought
// nobody back signed in. The list is closed.
type Approval string

// The names from Revoked to InvalidSignature are SuperOffice's AuthorizeErrorCode, as its reference
// of error codes lists them (1 to 7). In which parameter of the redirect they come is not
// published, so they are looked for in the code and in the description.
const (
	ApprovalRevoked            Approval = "revoked"
	ApprovalInvalidRedirectURL Approval = "invalid_redirect_url"
	ApprovalExpired            Approval = "expired"
	ApprovalDenied             Approval = "denied"
	ApprovalNeedsReapproval    Approval = "needs_reapproval"
	ApprovalInvalidTimestamp   Approval = "invalid_timestamp"
	ApprovalInvalidSignature   Approval = "invalid_signature"

	// ApprovalNeedsAdministrator: the person may not approve.
	ApprovalNeedsAdministrator Approval = "needs_administrator"
	// ApprovalUnregistered: SuperID does not know the app, or not for this.
	ApprovalUnregistered Approval = "unregistered"
	// ApprovalUnavailable: SuperID failed; it may pass.
	ApprovalUnavailable Approval = "unavailable"
	// ApprovalFailed: none of the above.
	ApprovalFailed Approval = "failed"
)

// authorizeErrors are SuperOffice's own names, in the order of their numbers from 1.
var authorizeErrors = []struct {
	name string
	is   Approval
}{
	{"revoked", ApprovalRevoked},
	{"invalidredirecturl", ApprovalInvalidRedirectURL},
	{"expired", ApprovalExpired},
	{"denied", ApprovalDenied},
	{"needsreapproval", ApprovalNeedsReapproval},
	{"invalidtimestamp", ApprovalInvalidTimestamp},
	{"invalidsignature", ApprovalInvalidSignature},
}

// ReadApproval understands the error that came back from an approval: SuperOffice's own
// name or number where one is told, or else OAuth's and OpenID Connect's code.
func ReadApproval(code, description string) Approval {
	code = strings.ToLower(strings.TrimSpace(code))
	for i, e := range authorizeErrors {
		if code == e.name || code == string(rune('1'+i)) {
			return e.is
		}
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(description), func(r rune) bool { return r < 'a' || r > 'z' }) {
		for _, e := range authorizeErrors {
			// Of the names that are everyday words too, the description says them of much else.
			if word == e.name && e.is != ApprovalExpired && e.is != ApprovalDenied {
				return e.is
			}
		}
	}
	switch code {
	case "access_denied":
		return ApprovalDenied
	case "consent_required", "interaction_required", "account_selection_required", "login_required":
		return ApprovalNeedsAdministrator
	case "unauthorized_client", "invalid_client", "invalid_request", "invalid_scope", "unsupported_response_type":
		return ApprovalUnregistered
	case "server_error", "temporarily_unavailable":
		return ApprovalUnavailable
	}
	return ApprovalFailed
}
