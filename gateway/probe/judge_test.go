package probe

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
)

// Which client the gateway is built with is configured; what a service does is judged against either.
func TestWhatToChangeFollowsFromWhatTheGatewayAssumes(t *testing.T) {
	t.Parallel()
	strict := superid.Assumptions{PKCE: true, NonceRequired: true, UPNRequired: true, APIClaimRequired: true}
	lenient := superid.Assumptions{PKCE: true, PKCEOff: "pkce off", RedirectURIAtRefresh: true}
	without := superid.Assumptions{PKCEOff: "pkce off", NonceRequired: true, RedirectURIAtRefresh: true}
	for name, c := range map[string]struct {
		assumed superid.Assumptions
		judge   func(*running, *observations, superid.Assumptions, *Fact)
		pkce    string
		nonce   string
		refresh refreshes
		change  string // "": nothing differs
	}{
		"PKCE refused, and there is an option": {assumed: lenient, judge: judgePKCE, pkce: pkceRefused, change: "pkce off"},
		"PKCE refused, and there is none":      {assumed: strict, judge: judgePKCE, pkce: pkceRefused, change: "no option"},
		"PKCE refused where it is off":         {assumed: without, judge: judgePKCE, pkce: pkceRefused},
		"PKCE ignored, with a nonce":           {assumed: lenient, judge: judgePKCE, pkce: pkceIgnored, nonce: "mine"},
		"PKCE ignored, and no nonce":           {assumed: lenient, judge: judgePKCE, pkce: pkceIgnored, change: "the state alone"},
		"PKCE ignored, and the nonce required": {assumed: strict, judge: judgePKCE, pkce: pkceIgnored},
		"no nonce, beside PKCE":                {assumed: lenient, judge: judgeNonce, pkce: pkceEnforced},
		"no nonce where PKCE is off":           {assumed: without, judge: judgeNonce, pkce: pkceEnforced, change: "take pkce off out"},
		"neither nonce nor PKCE":               {assumed: without, judge: judgeNonce, pkce: pkceRefused, change: "no option"},
		"another's nonce":                      {assumed: lenient, judge: judgeNonce, nonce: "another's", change: "has to be refused"},
		"no upn, and none needed":              {assumed: lenient, judge: judgeUPN},
		"no upn":                               {assumed: strict, judge: judgeUPN, change: "no option"},
		"no webapi_url, and none needed":       {assumed: lenient, judge: judgeAPIClaim},
		"redirect_uri wanted and sent":         {assumed: lenient, judge: judgeRedirectURI, refresh: refreshes{without: refreshRefused, with: refreshTaken}},
		"redirect_uri unwanted and sent":       {assumed: lenient, judge: judgeRedirectURI, refresh: refreshes{without: refreshTaken, with: refreshRefused}, change: "no option"},
		"redirect_uri unwanted and not sent":   {assumed: strict, judge: judgeRedirectURI, refresh: refreshes{without: refreshTaken, with: refreshRefused}},
	} {
		seen := &observations{pkce: c.pkce, nonce: "mine", refresh: c.refresh, answer: &superid.Examination{Nonce: c.nonce}}
		var f Fact
		c.judge(nil, seen, c.assumed, &f)
		if f.Differs != (c.change != "") || !strings.Contains(strings.Join(f.Change, " "), c.change) || f.Assumes == "" || f.Found == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestAnAnswerThatRefusesNobodyIsNotTakenForARefusal(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusFound, http.StatusTooManyRequests, http.StatusMisdirectedRequest, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		var f Fact
		judgeAgent(nil, &observations{agent: agentAnswer{status: status}}, superid.Assumptions{}, &f)
		if f.Observed() || f.Differs {
			t.Errorf("%d: %+v", status, f)
		}
	}
}

func TestTheShapeOfABodyIsToldAndNotWhatItSays(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][2]string{
		"":                          {"empty", ""},
		`{"Message":"canary Tove"}`: {"JSON Message", ""},
		`{"ErrorType":"SuperOffice.CRM.X","Tove":"canary"}`: {"JSON ErrorType other names", "SuperOffice.CRM.X"},
		`{"ErrorType":"Tove Canary"}`:                       {"JSON ErrorType", ""},
		`{"ErrorType":"SuperOffice.tove@canary"}`:           {"JSON ErrorType", ""},
		`{}`:                  {"JSON", ""},
		`["canary"]`:          {"another type", ""},
		`<html>canary</html>`: {"another type", ""},
	} {
		shape, kind := shapeOf(http.Header{"Content-Type": {"application/x-canary"}}, []byte(body))
		if shape != want[0] || kind != want[1] {
			t.Errorf("%s: %q %q", body, shape, kind)
		}
	}
	if shape, _ := shapeOf(http.Header{"Content-Type": {"text/html; charset=utf-8"}}, []byte("<p>")); shape != "text/html" {
		t.Error(shape)
	}
}

func TestAnArchiveThatGivesNoAnswerIsNotJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys   keyArchive
		answer string
	}{
		"not asked":    {keyArchive{}, ""},
		"no answer":    {keyArchive{asked: true, wrong: "no answer"}, ""},
		"too many":     {keyArchive{asked: true, status: 429, wrong: "HTTP 429"}, ""},
		"down":         {keyArchive{asked: true, status: 503, wrong: "HTTP 503"}, ""},
		"moved":        {keyArchive{asked: true, status: 421, wrong: "HTTP 421"}, ""},
		"no row":       {keyArchive{asked: true}, ""},
		"forbidden":    {keyArchive{asked: true, status: 403, wrong: "HTTP 403"}, "refused"},
		"wrong query":  {keyArchive{asked: true, status: 400, wrong: "HTTP 400"}, "refused"},
		"a page":       {keyArchive{asked: true, wrong: "did not answer rows in JSON"}, "unreadable"},
		"as it should": {keyArchive{asked: true, rows: true}, "readable"},
	} {
		var f Fact
		judgeKeyArchive(nil, &observations{keys: c.keys}, superid.Assumptions{}, &f)
		if f.Answer != c.answer || f.Differs != (c.answer == "refused" || c.answer == "unreadable") || f.Found == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
