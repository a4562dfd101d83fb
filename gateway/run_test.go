package gateway

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestAnOperationsURLIsTheOneThatItsTextNames(t *testing.T) {
	t.Parallel()
	for _, api := range []string{
		"https://sod3.superoffice.com/Cust12345/api", "http://127.0.0.1:8080/Cust12345/api", "http://[::1]:8080/Cust12345/api", "https://iis.internal/crm7/api", "https://iis.internal/a/b/api", "https://iis.internal/api",
	} {
		want, err := url.Parse(api + "/v1/Agents/ErpSync/ForceResync")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, operationURL(api, superoffice.ForceResync)); diff != "" {
			t.Errorf("%s: %s", api, diff)
		}
	}
}

// nextCredential is a way to call on that has one more credential to try.
type nextCredential struct{ asked int }

func (*nextCredential) get(context.Context) (auth.Credential, *auth.Refusal) {
	return auth.Credential{}, nil
}

func (n *nextCredential) replace(context.Context, auth.Credential, bool) (auth.Credential, *auth.Refusal) {
	n.asked++
	return auth.Credential{Value: auth.NewSecret("next")}, nil
}

func (*nextCredential) exhausted() auth.Reason { return auth.UpstreamCredentialRefused }

func TestACallIsSentAgainOnlyAfterAnAnswerThatSaysItDidNotRun(t *testing.T) {
	t.Parallel()
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		status  int
		expires time.Time
		again   bool
	}{
		"401":                                {http.StatusUnauthorized, future, true},
		"401 to one whose end is not known":  {http.StatusUnauthorized, time.Time{}, true},
		"403 to a credential that was stale": {http.StatusForbidden, past, true},
		"403 to one that was good":           {http.StatusForbidden, future, false},
		"403 to one whose end is not known":  {http.StatusForbidden, time.Time{}, false},
		"421 where no tenant moves":          {http.StatusMisdirectedRequest, past, false},
		"500 to a credential that was stale": {http.StatusInternalServerError, past, false},
		"200":                                {http.StatusOK, past, false},
	} {
		g := &Gateway{hosts: new(hosts)}
		source := new(nextCredential)
		call := &upstreamCall{Decision: &Decision{Admission: &Admission{app: &App{gateway: g}}}, g: g, source: source, with: auth.Credential{Value: auth.NewSecret("first"), Expires: c.expires}}
		again, refusal := call.amend(t.Context(), &http.Response{StatusCode: c.status, Body: http.NoBody})
		if again != c.again || refusal != nil || (source.asked == 1) != c.again || c.again && call.with.Value.Reveal() != "next" {
			t.Errorf("%s: %v %v, asked %d times", name, again, refusal, source.asked)
		}
	}
}

// sameCredential is a way to call on that has no other credential than the one that was refused.
type sameCredential struct{ nextCredential }

func (*sameCredential) replace(_ context.Context, rejected auth.Credential, _ bool) (auth.Credential, *auth.Refusal) {
	return rejected, nil
}

// reloaded is a secret whose file holds another one now.
type reloaded struct{ value, now string }

func (r reloaded) Get() auth.Secret    { return auth.NewSecret(r.value) }
func (r reloaded) Reload() auth.Secret { return auth.NewSecret(r.now) }

func TestACredentialThatWasRefusedIsNotSentAgainUnlessTheAppsSecretIsAnother(t *testing.T) {
	t.Parallel()
	for now, again := range map[string]bool{"sent": false, "replaced": true} {
		g := &Gateway{hosts: new(hosts)}
		call := &upstreamCall{
			Decision: &Decision{Admission: &Admission{app: &App{gateway: g, secret: reloaded{"sent", now}}}}, g: g, source: new(sameCredential),
			with: auth.Credential{Value: auth.NewSecret("first")}, appToken: auth.NewSecret("sent"),
		}
		got, refusal := call.amend(t.Context(), &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody})
		if got != again || (refusal == nil) != again || refusal != nil && refusal.Reason != auth.UpstreamCredentialRefused {
			t.Errorf("the secret is %s: sent again %t, %v", now, got, refusal)
		}
	}
}
