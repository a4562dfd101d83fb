package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// The words are those of people who answer the telephone. Codes stand beside them, small, for readers of logs.

// Tone is how something is to be taken. It is a colour and a sign, so that no colour alone says it.
type Tone string

const (
	Good    Tone = "good"
	Warn    Tone = "warn"
	Bad     Tone = "bad"
	Unclear Tone = "unclear"
	Waiting Tone = "wait"
	Quiet   Tone = "quiet"
)

// verdict is what came of something, in words.
type verdict struct {
	Tone Tone
	// Short fits into a table, Long is a sentence for the one call, Next what to do; "" is nothing.
	Short, Long, Next string
}

var verdicts = map[outcome.Class]verdict{
	outcome.OK:      {Good, "Went through", "It went through.", ""},
	outcome.Info:    {Good, "Went through, with a remark", "It went through, and SuperOffice adds a remark.", ""},
	outcome.Warning: {Warn, "Went through, with a warning", "It went through, and SuperOffice warns of something.", "Read the warning to the customer: some of the data may need a look."},
	outcome.Error: {
		Bad, "Failed, and said why", "It failed, and the ERP connection said why.",
		"The cause is at the customer's ERP connection. Tell them the error code; once that is mended, repeat the call.",
	},
	outcome.Contradictory: {
		Unclear, "Unclear: the answer contradicts itself", "SuperOffice's answer says both that it went through and that it failed.",
		"Look in SuperOffice whether the records were updated before anybody repeats it.",
	},
	outcome.Masked: {
		Unclear, "Unclear: the result was not asked for", "The caller left the result out of what it asked SuperOffice for, so that nobody knows it.",
		"Look in SuperOffice whether the records were updated; the calling program has to ask for the result ($select).",
	},
	outcome.Accepted: {
		Waiting, "Handed over to a background task", "SuperOffice took it as a background task and does not report what came of it.",
		"Look in SuperOffice's task list how it ended.",
	},
	outcome.Empty: {
		Bad, "Failed without a reason", "SuperOffice answered nothing, which stands for a call that failed.",
		"Look in SuperOffice whether the records were updated, then repeat the call.",
	},
	outcome.Unreadable: {
		Unclear, "Unclear: the answer makes no sense", "SuperOffice's answer could not be understood.",
		"Look in SuperOffice whether the records were updated, and pass the request id on to the operators.",
	},
	outcome.Fault: {
		Bad, "Failed: SuperOffice answered an error", "SuperOffice answered with an error of its own.",
		"Pass the request id on to the operators; the customer's ERP is mostly not the cause.",
	},
	outcome.Unreachable: {
		Bad, "Not sent: SuperOffice was not reached", "SuperOffice could not be reached, so that nothing was sent.",
		"Nothing ran: it can be repeated safely once SuperOffice answers again.",
	},
	outcome.Unknown: {
		Unclear, "Unclear: sent, and no answer came", "It was sent, and no whole answer came. It may have run.",
		"Look in SuperOffice whether the records were updated before anybody repeats it.",
	},
}

// refusals are why a call was not sent, behind "Not sent:".
var refusals = map[auth.Reason]string{
	auth.PathNotCanonical:     "the address was spelled in another way than is served",
	auth.MethodNotAllowed:     "it was not a POST",
	auth.QueryNotUnderstood:   "the address carries something that is not understood",
	auth.UpgradeRefused:       "it asked for another protocol",
	auth.EarlyData:            "it came too early in the connection and could be a copy",
	auth.BodyTooLarge:         "the request was too large",
	auth.BodyIncomplete:       "the request did not arrive whole",
	auth.BodyNotUnderstood:    "the request could not be understood",
	auth.MediaTypeUnsupported: "the request was in a format that is not taken",

	auth.CredentialMissing:  "the caller did not say who it is",
	auth.CredentialInvalid:  "the caller could not prove who it is",
	auth.SignInAgain:        "the person has to sign in again",
	auth.CrossSite:          "it came from a page of another site",
	auth.XSRFInvalid:        "the page sent an old or no security token; reloading it helps",
	auth.PanelMismatch:      "the panel was open for another person or customer",
	auth.ProofUnavailable:   "SuperOffice could not be asked who called",
	auth.SessionUnavailable: "the store of sign-ins gave no answer",

	auth.TenantMismatch:       "it named another customer than the caller belongs to",
	auth.AppTokenMismatch:     "it brought the token of another app",
	auth.AgentNotGranted:      "the app may not use the ERP synchronisation",
	auth.OperationNotGranted:  "the app may not ask for this",
	auth.TenantNotGranted:     "the app is not set up for this customer",
	auth.TenantSuspended:      "this customer is suspended",
	auth.PersonNotGranted:     "this person may not ask for it",
	auth.ConnectionNotGranted: "the app may not use this ERP connection",
	auth.ResyncAllDenied:      "it would have synchronised everything, which is not allowed",
	auth.ResyncAllUnconfirmed: "it would have synchronised everything and was not confirmed",
	auth.NoSystemToken:        "the customer's administrator has not approved the app yet",
	auth.SwapUnavailable:      "this SuperOffice is too old for it",
	auth.LookupNotGranted:     "the app may not look records up",

	auth.HeaderNotUnderstood:   "a header could not be understood",
	auth.IdempotencyKeyMissing: "the calling program sent no Idempotency-Key",
	auth.CallRunning:           "the same call was running already",
	auth.IdempotencyKeyReused:  "its Idempotency-Key was used for something else",
	auth.AnswerNotKept:         "it had run before, and its answer is no longer kept",
	auth.TooManyInFlight:       "too many calls were running",
	auth.RateLimited:           "too many calls came in a second",
	auth.CallNotFound:          "the caller asked for a call that is not known",
	auth.CoolingDown:           "everything was synchronised a short time before",
	auth.StoreUnavailable:      "the gateway's store gave no answer",
	auth.AuditUnavailable:      "the gateway could not write its audit log",
	auth.OnHold:                "calls were on hold",

	auth.TenantNotRunning:          "the customer's SuperOffice was not running",
	auth.TenantUnknown:             "SuperOffice knows no such customer",
	auth.StateUnavailable:          "SuperOffice did not say where the customer's system is",
	auth.HostNotTrusted:            "the customer's system is said to be at an address that is not trusted",
	auth.CredentialUnavailable:     "SuperOffice gave no access for the call",
	auth.ConsentRequired:           "the customer's administrator has to approve the app again",
	auth.UpstreamCredentialRefused: "SuperOffice refused the gateway's access",
	auth.UpstreamUnreachable:       "SuperOffice could not be reached",
	auth.UpstreamAnswerRefused:     "SuperOffice answered in a way that is not passed on",
	auth.LookupFailed:              "SuperOffice did not answer a look-up",
	auth.OutcomeUnknown:            "no whole answer came",
	auth.Internal:                  "the gateway failed",
	auth.Draining:                  "the gateway was stopping",
}

// refusalWords returns why a call was not sent.
func refusalWords(reason string) string {
	if words := refusals[auth.Reason(reason)]; words != "" {
		return words
	}
	return "the gateway refused it (" + reason + ")"
}

// verdictOf returns what came of a call.
func verdictOf(outcomeClass, reason string) verdict {
	if v, ok := verdicts[outcome.Class(outcomeClass)]; ok {
		if why := refusals[auth.Reason(reason)]; why != "" && v.Tone == Bad { // the gateway knows more than the answer says
			v.Short, v.Long = "Failed: "+why, "It failed: "+why+"."
			if outcome.Class(outcomeClass) == outcome.Unreachable {
				v.Short, v.Long = "Not sent: "+why, "It was not sent: "+why+"."
			}
			v.Next = forOperators(auth.Reason(reason), v.Next)
		}
		return v
	}
	if reason == "" {
		return verdict{Quiet, "Nothing is known", "Nothing is known of what came of it.", ""}
	}
	words := refusalWords(reason)
	v := verdict{Bad, "Not sent: " + words, "It was not sent: " + words + ".", ""}
	switch auth.Reason(reason) {
	case auth.OnHold, auth.TenantSuspended, auth.CallRunning, auth.CoolingDown, auth.RateLimited, auth.TooManyInFlight:
		v.Tone = Waiting
	}
	v.Next = strings.TrimSpace("Nothing ran. " + forOperators(auth.Reason(reason), ""))
	return v
}

// forOperators returns what the operators do about a refusal, or what else there is to say.
func forOperators(reason auth.Reason, otherwise string) string {
	if remedy := reason.Remedy(); remedy != "" && remedy != "nothing" {
		return "For the operators: " + plain(remedy) + "."
	}
	return otherwise
}

// plain takes the marks of code off a remedy.
func plain(remedy string) string { return strings.ReplaceAll(remedy, "`", "") }

// running is the verdict of a call that is under way.
var running = verdict{Waiting, "Under way", "It is under way.", "Wait for it: a large one takes minutes."}

// rowVerdict returns what came of a call of the history.
func rowVerdict(r *history.Row) verdict {
	switch {
	case r.Ended.IsZero():
		return running
	case r.Outcome == "" && r.Replays != "":
		return verdict{Good, "Answered again", "It had been made before with the same Idempotency-Key, so that the earlier answer was given again and nothing was sent.", ""}
	case r.OutcomeCause == history.NoEnd:
		return verdict{Unclear, "Unclear: the gateway stopped meanwhile", "It was sent, and the gateway ended before an answer came. It may have run.", verdicts[outcome.Unknown].Next}
	}
	return verdictOf(string(r.Outcome), r.Reason)
}

// operationWords says what a call asks for.
var operationWords = map[superoffice.Operation]string{
	superoffice.ForceResync:                      "Update records",
	superoffice.ForceResyncNoBlankValues:         "Update records, keeping what is filled in",
	superoffice.ForceResyncBatchTask:             "Update records in the background",
	superoffice.ForceResyncExternal:              "Update records by ERP number",
	superoffice.ForceResyncExternalNoBlankValues: "Update records by ERP number, keeping what is filled in",
	superoffice.SyncAll:                          "Synchronise what has changed",
	superoffice.ForceSyncAll:                     "Synchronise everything",
	superoffice.GetEngineStatus:                  "Ask how the engine is",
}

func askedFor(operation string) string {
	for o, words := range operationWords {
		if o.String() == operation {
			return words
		}
	}
	return operation
}

// connectionName names an ERP connection for people.
func connectionName(connection int32) string {
	if connection <= 0 {
		return "from CRM"
	}
	return "connection " + strconv.Itoa(int(connection))
}

// connectionCell is an ERP connection in a column of such.
func connectionCell(connection int32) cell {
	if connection <= 0 {
		return cell{Text: "CRM"}
	}
	return cell{Text: strconv.Itoa(int(connection))}
}

// tenantName names a customer: by name where there is one.
func tenantName(tenant, name string) string {
	switch {
	case tenant == "" && name == "":
		return "This installation"
	case name == "":
		return tenant
	}
	return name
}

// count returns a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// lasted returns a duration for people.
func lasted(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// schemeWords says how a caller proved itself.
func schemeWords(scheme string) string {
	switch scheme {
	case "session":
		return "signed in with SuperOffice in a browser"
	case "jwt":
		return "a program with a token"
	}
	return "with a SuperOffice credential (" + scheme + ")"
}

// credentialWords says as whom SuperOffice was called.
func credentialWords(credential string) string {
	switch {
	case strings.HasPrefix(credential, "system"):
		return "as the customer's system user"
	case strings.HasPrefix(credential, "account"):
		return "as a service account"
	case credential == "":
		return ""
	}
	return "with the person's own rights"
}
