package superid

import (
	"strconv"
	"testing"
)

func TestSuperOfficesAuthorizeErrorsAreKnownByNameAndNumberWhereverTheyStand(t *testing.T) {
	t.Parallel()
	// The vendor's table of AuthorizeErrorCode, in its spelling.
	for number, name := range []string{1: "Revoked", 2: "InvalidRedirectUrl", 3: "Expired", 4: "Denied", 5: "NeedsReapproval", 6: "InvalidTimestamp", 7: "InvalidSignature"} {
		if name == "" {
			continue
		}
		want := ReadApproval(name, "")
		if want == ApprovalFailed {
			t.Errorf("%s is not known", name)
		}
		if got := ReadApproval(strconv.Itoa(number), ""); got != want {
			t.Errorf("%d is %s, %s is %s", number, got, name, want)
		}
		if name == "Expired" || name == "Denied" { // everyday words: only as a code
			continue
		}
		if got := ReadApproval("access_denied", "Authorization error: "+name+" ("+strconv.Itoa(number)+")"); got != want {
			t.Errorf("%s in the description is %s", name, got)
		}
	}
	for code, want := range map[string]Approval{
		"access_denied": ApprovalDenied, "consent_required": ApprovalNeedsAdministrator, "server_error": ApprovalUnavailable, "temporarily_unavailable": ApprovalUnavailable,
		"unauthorized_client": ApprovalUnregistered, "0": ApprovalFailed, "8": ApprovalFailed, "": ApprovalFailed, "something": ApprovalFailed,
	} {
		if got := ReadApproval(code, "The request was denied, or has expired."); got != want {
			t.Errorf("%q is %s, want %s", code, got, want)
		}
	}
}

func FuzzReadApproval(f *testing.F) {
	f.Add("access_denied", "Authorization error: InvalidRedirectUrl (2)")
	f.Add("3", "")
	f.Add("\xff", "ExpiredNeedsReapproval\x00")
	known := map[Approval]bool{ApprovalNeedsAdministrator: true, ApprovalUnregistered: true, ApprovalUnavailable: true, ApprovalFailed: true}
	for _, e := range authorizeErrors {
		known[e.is] = true
	}
	f.Fuzz(func(t *testing.T, code, description string) {
		if got := ReadApproval(code, description); !known[got] {
			t.Errorf("%q is in no list", got)
		}
	})
}
