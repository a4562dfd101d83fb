package probe

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
)

// Answers, in the words of reports.
const (
	pkceEnforced = "enforced"
	pkceIgnored  = "ignored"
	pkceRefused  = "refused"

	present = "present"
	absent  = "absent"
	other   = "other"

	uriOptional = "optional"
	uriRequired = "required"
	uriUnwanted = "unwanted"

	readable   = "readable"
	unreadable = "unreadable"
	refusedTo  = "refused"

	everySignIn    = "every_sign_in"
	notEverySignIn = "approval_only"
)

// noOption is what is left where nothing can be configured.
const noOption = "no option: this gateway does not work with it yet. Attach the --json report to an issue"

// questions are asked in this order.
var questions = []struct {
	name, asks string
	judge      func(*running, *observations, superid.Assumptions, *Fact)
}{
	{"pkce", "Is PKCE enforced beside a client secret?", judgePKCE},
	{"nonce", "Does the id_token repeat the nonce?", judgeNonce},
	{"upn", "Does the id_token name the person by UPN?", judgeUPN},
	{"webapi_url", "Does the id_token have webapi_url?", judgeAPIClaim},
	{"redirect_uri_at_refresh", "Does a refresh need redirect_uri?", judgeRedirectURI},
	{"system_token", "Does system_token come at every administrator's sign-in?", judgeSystemToken},
	{"expired_token", "With which status is an expired token refused?", judgeExpiry},
	{"refused_agent", "How is a restricted agent refused that the app was not granted?", judgeAgent},
	{"key_archive", "Are internal keys found in the archive Dynamic, without the agent?", judgeKeyArchive},
}

// judge compares what was seen with what the gateway takes for granted.
func (p *running) judge(seen *observations) *Report {
	assumed, this := p.app.SuperID.Assumes(), build.Read()
	report := &Report{
		Version: this.Version, Revision: this.Revision, Environment: p.desk.gateway.Config().Environment.Name(), Date: today(),
		CallAs: string(p.app.CallAs), Administrator: seen.answer.Administrator,
	}
	for _, q := range questions {
		fact := Fact{Question: q.name, Asks: q.asks}
		q.judge(p, seen, assumed, &fact)
		report.Facts = append(report.Facts, fact)
	}
	return report
}

// differs notes what to change.
func (f *Fact) differs(change ...string) { f.Differs, f.Change = true, append(f.Change, change...) }

func judgePKCE(_ *running, seen *observations, assumed superid.Assumptions, f *Fact) {
	f.Answer = seen.pkce
	f.Assumes = "a challenge is taken, enforced or not"
	if !assumed.PKCE {
		f.Assumes = "no challenge is sent"
	}
	switch seen.pkce {
	case pkceEnforced:
		f.Found = "a code with a wrong verifier was refused"
	case pkceIgnored:
		f.Found = "a code with a wrong verifier was taken"
		if seen.answer.Nonce == "" && !assumed.NonceRequired {
			f.differs("no option: neither PKCE nor a nonce binds a code to the browser that asked for it, the state alone does. Ask SuperOffice, with the --json report")
		}
	case pkceRefused:
		f.Found = "a sign-in with a challenge was refused, one without was taken"
		if assumed.PKCE {
			f.differs(cmp.Or(assumed.PKCEOff, noOption))
		}
	default:
		f.Found = "SuperID gave no answer to the code with a wrong verifier"
	}
}

func judgeNonce(_ *running, seen *observations, assumed superid.Assumptions, f *Fact) {
	f.Assumes = "there or not; another's is refused"
	if assumed.NonceRequired {
		f.Assumes = "there; without, nobody signs in"
	}
	switch seen.answer.Nonce {
	case seen.nonce:
		f.Answer, f.Found = present, "the id_token repeats it"
	case "":
		f.Answer, f.Found = absent, "the id_token has none"
		switch {
		case !assumed.NonceRequired:
		case !assumed.PKCE && seen.pkce != pkceRefused:
			f.differs("take " + assumed.PKCEOff + " out: with PKCE the nonce is not needed")
		default:
			f.differs(noOption)
		}
	default:
		f.Answer, f.Found = other, "the id_token has another nonce than was sent"
		f.differs("nothing: an id_token with another's nonce has to be refused. Ask SuperOffice, with the --json report")
	}
}

// claim judges a claim that is there or not.
func (f *Fact) claim(name string, there, required bool) {
	f.Answer, f.Found = present, "the id_token has "+name
	f.Assumes = "there or not"
	if required {
		f.Assumes = "there; without, nobody signs in"
	}
	if !there {
		f.Answer, f.Found = absent, "the id_token has no "+name
		if required {
			f.differs(noOption)
		}
	}
}

func judgeUPN(_ *running, seen *observations, assumed superid.Assumptions, f *Fact) {
	f.claim("upn", seen.answer.UPN, assumed.UPNRequired)
}

func judgeAPIClaim(_ *running, seen *observations, assumed superid.Assumptions, f *Fact) {
	f.claim("webapi_url", seen.answer.APIClaim, assumed.APIClaimRequired)
}

func judgeRedirectURI(_ *running, seen *observations, assumed superid.Assumptions, f *Fact) {
	f.Assumes = "not needed, not sent"
	if assumed.RedirectURIAtRefresh {
		f.Assumes = "sent, needed or not"
	}
	switch r := seen.refresh; {
	case r.none:
		f.Found = "no refresh token came with the sign-in"
	case r.without == refreshTaken && r.with == refreshTaken:
		f.Answer, f.Found = uriOptional, "a refresh is taken with it and without"
	case r.without == refreshRefused && r.with == refreshTaken:
		f.Answer, f.Found = uriRequired, "a refresh without it is refused, one with it taken"
		if !assumed.RedirectURIAtRefresh {
			f.differs(noOption)
		}
	case r.without == refreshTaken && r.with == refreshRefused:
		f.Answer, f.Found = uriUnwanted, "a refresh with it is refused, one without taken"
		if assumed.RedirectURIAtRefresh {
			f.differs(noOption)
		}
	case r.without == refreshRefused && r.with == refreshRefused:
		f.Found = "every refresh is refused"
	default:
		f.Found = "SuperID gave no answer to a refresh"
	}
}

func judgeSystemToken(p *running, seen *observations, _ superid.Assumptions, f *Fact) {
	f.Assumes = "it may come only with an approval"
	switch {
	case p.app.CallAs != auth.AsSystem:
		f.Found = "not asked: this app has no system user here (call_as system)"
	case seen.answer.SystemToken && seen.answer.Administrator:
		f.Answer, f.Found = everySignIn, "it came with an administrator's sign-in that was no approval"
	case seen.answer.SystemToken:
		f.Answer, f.Found = everySignIn, "it came with the sign-in of a person who is no administrator"
	case seen.answer.Administrator:
		f.Answer, f.Found = notEverySignIn, "it did not come with an administrator's sign-in that was no approval"
	default:
		f.Found = "not asked: the person who signed in is no administrator"
	}
}

func judgeExpiry(p *running, seen *observations, _ superid.Assumptions, f *Fact) {
	f.Assumes = "401 or 403"
	switch e := seen.expired; {
	case e.status != 0:
		f.Answer, f.Found = fmt.Sprint(e.status), fmt.Sprintf("HTTP %d", e.status)
		if e.status != http.StatusUnauthorized && e.status != http.StatusForbidden {
			f.differs(noOption)
		}
	case e.tried:
		f.Found = fmt.Sprintf("not refused %.0f minutes after its end, or the WebAPI gave no answer", leeway.Minutes())
	case e.lifetime <= shortLife || p.options.WaitForExpiry && e.lifetime <= maxLife:
		f.Found = "not asked: the WebAPI did not take the token while it was good"
	case p.options.WaitForExpiry:
		f.Found = fmt.Sprintf("not waited for: it lives longer than %.0f minutes", maxLife.Minutes())
	default:
		f.Found = fmt.Sprintf("not waited for: it lives %.0f minutes more (--wait-for-expiry)", e.lifetime.Minutes())
	}
}

func judgeAgent(_ *running, seen *observations, _ superid.Assumptions, f *Fact) {
	f.Assumes = "403, with whatever body"
	switch a := seen.agent; {
	case a.status == 0:
		f.Found = "not asked: the WebAPI did not take the token, or gave no answer"
	case a.status == http.StatusOK:
		f.Found = "not refused: the app is granted the agent. Only an app without the grant shows it"
	case a.status >= http.StatusBadRequest && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests && a.status != http.StatusMisdirectedRequest:
		f.Answer, f.Found = fmt.Sprint(a.status), fmt.Sprintf("HTTP %d, %s", a.status, a.shape)
		if a.kind != "" {
			f.Found += ", " + a.kind
		}
		if a.status != http.StatusForbidden {
			f.differs("agents: take ErpSync out of an app that SuperOffice has not granted it, since its callers get another reason than that")
		}
	default:
		f.Found = fmt.Sprintf("HTTP %d, which refuses nobody", a.status)
	}
}

func judgeKeyArchive(_ *running, seen *observations, _ superid.Assumptions, f *Fact) {
	f.Assumes = "it reads ErpExternalKey and ErpInternalKey, heeds filter and order"
	const change = "take lookups out of the app, and do without caddy erpsync find: their answers are errors here"
	switch k := seen.keys; {
	case !k.asked:
		f.Found = "not asked: the WebAPI did not take the token, or gave no answer"
	case k.wrong == "" && k.rows:
		f.Answer, f.Found = readable, "it answered a key, and that one alone when it was asked for it"
	case k.wrong == "":
		f.Found = "it is read, and has no key that this person may see"
	case k.status == 0 && k.wrong == "no answer", k.status >= http.StatusInternalServerError, k.status == http.StatusTooManyRequests, k.status == http.StatusMisdirectedRequest:
		f.Found = "not answered: " + k.wrong
	case k.status != 0:
		f.Answer, f.Found = refusedTo, k.wrong
		f.differs(change, "or give the person or system user the right to read it")
	default:
		f.Answer, f.Found = unreadable, "it "+k.wrong
		f.differs(change)
	}
}
