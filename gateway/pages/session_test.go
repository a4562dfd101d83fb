package pages_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// signedOut is the answer to a sign-out.
type signedOut struct {
	SignOut string `json:"sign_out"`
	Ended   *int   `json:"sessions_ended"`
	Revoked *int   `json:"refresh_tokens_revoked"`
}

// signOut signs a person out and returns the answer with the fields of the newest audit line of a sign-out.
func signOut(t *testing.T, g *gatewaytest.Fixture, client *http.Client, xsrf, query string) (answer signedOut, line map[string]any) {
	t.Helper()
	got := g.Do(client, http.MethodPost, "/erpsync/sign-out"+query, "", http.Header{"X-Xsrf-Token": {xsrf}})
	if got.Status != http.StatusOK || json.Unmarshal([]byte(got.Body), &answer) != nil || answer.Ended == nil || answer.Revoked == nil {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	lines := g.Logs.FilterMessage("erpsync signed out").All()
	if len(lines) == 0 {
		t.Fatal("no audit line")
	}
	return answer, lines[len(lines)-1].ContextMap()
}

func TestASignOutSaysWhatEndedAndWhatSuperIDTookBack(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.SO.Switch(func(s *sandbox.Switches) { s.Revocation = "present" })
	one, xsrf := g.SignIn("tove")
	g.SignIn("tove")
	g.SO.Switch(func(s *sandbox.Switches) { s.UPN = "absent" })
	without, withoutXSRF := g.SignIn("tove")
	other, _ := g.SignIn("per")
	g.SO.Switch(func(s *sandbox.Switches) { s.UPN = "present" })
	before := g.SO.Live("refresh")

	answer, line := signOut(t, g, one, xsrf, "")
	if *answer.Ended != 1 || *answer.Revoked != 1 || g.SO.Live("refresh") != before-1 {
		t.Errorf("here alone: %d ended, %d revoked, %d refresh tokens of %d left", *answer.Ended, *answer.Revoked, g.SO.Live("refresh"), before)
	}
	for field, want := range map[string]any{
		"endpoint": "/sign-out", "app": "portal", "tenant": "Cust12345", "principal": g.SO.User("Cust12345", "tove").UPN, "decision": "allowed", "everywhere": false,
		"sessions_ended": 1, "refresh_tokens_revoked": 1, "status": 200,
	} {
		if line[field] != want {
			t.Errorf("%s: %v, want %v", field, line[field], want)
		}
	}
	if line["request_id"] == "" || line["client_ip"] == "" || line["node"] == "" {
		t.Errorf("%v", line)
	}

	// One that was begun without a UPN ends those that were begun with one.
	answer, line = signOut(t, g, without, withoutXSRF, "?everywhere=true")
	if *answer.Ended != 2 || *answer.Revoked != 1 || line["sessions_ended"] != 2 || line["everywhere"] != true || g.SO.Live("refresh") != before-2 {
		t.Errorf("everywhere: %d ended, %d revoked, %v", *answer.Ended, *answer.Revoked, line)
	}
	if n, err := g.Sessions().Manager.CountPerson(t.Context(), "Cust12345", g.SO.User("Cust12345", "tove").UPN); err != nil || n != 0 {
		t.Errorf("%d sessions are left, %v", n, err)
	}
	if got := g.Do(other, http.MethodGet, "/erpsync/session", "", nil); got.Status != http.StatusOK {
		t.Errorf("somebody else: %d %s", got.Status, got.Body)
	}
}

func TestASignOutSaysWhyARefreshTokenLivesOnAndNamesNobodyWhereNobodyIsToBeNamed(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.Privacy.Principals = outcome.Omit }))
	g.SO.Switch(func(s *sandbox.Switches) { s.Revocation = "absent" })
	client, xsrf := g.SignIn("tove")
	answer, line := signOut(t, g, client, xsrf, "")
	if cause, _ := line["cause"].(string); *answer.Revoked != 0 || *answer.Ended != 1 || !strings.Contains(cause, "404") {
		t.Errorf("%d ended, %d revoked, because %v", *answer.Ended, *answer.Revoked, line["cause"])
	}
	if _, named := line["principal"]; named {
		t.Errorf("the line names %v", line["principal"])
	}
}

// What cannot be renewed must not be promised for longer than it lasts.
func TestASessionThatCannotBeRenewedIsPromisedUntilItsAccessTokenEnds(t *testing.T) {
	t.Parallel()
	for _, withheld := range []bool{true, false} {
		g := gatewaytest.New(t)
		if withheld {
			g.SO.Switch(func(s *sandbox.Switches) { s.RefreshToken = "withheld" })
		}
		began := time.Now()
		client, _ := g.SignIn("tove")
		got := g.Do(client, http.MethodGet, "/erpsync/session", "", nil)
		var session struct{ Expires time.Time }
		if err := json.Unmarshal([]byte(got.Body), &session); err != nil {
			t.Fatalf("%d %s: %v", got.Status, got.Body, err)
		}
		// The sandbox's access tokens live for an hour, sessions that are not used for eight.
		if short := session.Expires.Before(began.Add(4 * time.Hour)); short != withheld {
			t.Errorf("withheld %t: promised until %s, begun at %s", withheld, session.Expires, began)
		}
	}
}
