package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestAWebPanelSignsInInAPopUpAndCallsWithASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	pages := t.TempDir()
	if err := os.WriteFile(filepath.Join(pages, "page.html"), []byte(`<!doctype html><title>panel</title><script src="/erpsync/panel.js"></script>
<button onclick="window.result = null; erpsync.signIn().then((s) => { window.result = s }, (e) => { window.result = { reason: e.reason ?? e.message, ending: e.ending, message: e.message } })">Sign in</button>`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveExample(t, buildCaddy(t), "\thandle /page {\n\t\trewrite /page.html\n\t\tfile_server {\n\t\t\troot "+pages+"\n\t\t}\n\t}", "\t\tbrowser {\n", "\t\tbrowser {\n\t\t\tframed\n", "tenant *\n", "tenant *\n\t\t\tlookups on\n")
	s.so.Answer(func(_ string, connection int) *sandbox.Answer {
		switch connection {
		case 614:
			return &sandbox.Answer{Abort: true}
		case 615: // longer than what the gateway reads before it passes it on
			return &sandbox.Answer{Status: 200, Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 2<<20), Abort: true}
		}
		return nil
	})
	user := s.so.User("Cust12345", "per")
	got := node(t, "panel.mjs", "SITE="+s.url, "USERNAME="+user.UPN, "PASSWORD="+user.Password, "CHROMIUM="+chromium, fmt.Sprintf("ASSOCIATE=%d", user.AssociateID))
	if declined, _ := got["declined"].(map[string]any); declined["ending"] != "sign_in_declined" || declined["reason"] != "credential_invalid" || !strings.HasPrefix(fmt.Sprint(declined["message"]), "You did not sign in. ") {
		t.Errorf("who declines is told %v", got["declined"])
	}
	if closed, _ := got["closed"].(map[string]any); closed["ending"] != "popup_closed" {
		t.Errorf("who closes the window is told %v", got["closed"])
	}
	if session, _ := got["signedIn"].(map[string]any); got["before"] != nil || session["user"] != user.UPN || session["tenant"] != "Cust12345" {
		t.Errorf("before %v, then %v", got["before"], got["signedIn"])
	}
	calls, _ := got["calls"].(map[string]any)
	for name, want := range map[string]struct {
		ok      bool
		outcome string
		status  float64
		reason  any
	}{
		"ran":    {true, "ok", 200, nil},
		"failed": {false, "error", 200, nil},
		"dry":    {true, "dry_run", 200, nil},
		"first":  {true, "ok", 200, nil},
		"again":  {true, "ok", 200, nil},
		"all":    {false, "refused", 403, "resync_all_denied"},
		"lost":   {false, "unknown", 424, "outcome_unknown"},
		"cut":    {false, "unknown", 424, "outcome_unknown"},
		"status": {true, "ok", 200, nil},
	} {
		c, _ := calls[name].(map[string]any)
		if c["ok"] != want.ok || c["outcome"] != want.outcome || c["status"] != want.status || c["reason"] != want.reason || name != "cut" && c["requestId"] == nil {
			t.Errorf("%s: %v", name, c)
		}
	}
	if failed, again := calls["failed"].(map[string]any), calls["again"].(map[string]any); failed["explanation"] == "" || again["replayed"] != calls["first"].(map[string]any)["requestId"] {
		t.Errorf("%v; %v", failed, again)
	}
	finds, _ := got["finds"].(map[string]any)
	company, _ := finds["company"].(map[string]any)
	if found, _ := company["found"].([]any); len(found) != 1 || found[0].(map[string]any)["key"] != 386.0 {
		t.Errorf("the company that is open: %v", company)
	}
	if none, _ := finds["none"].(map[string]any); none["reason"] != nil || fmt.Sprint(none["found"]) != "[]" {
		t.Errorf("a company without a key: %v", none)
	}
	if wrong, _ := finds["wrong"].(map[string]any); wrong["reason"] != "body_not_understood" {
		t.Errorf("two questions: %v", wrong)
	}
	if got["unframed"] != 401.0 {
		t.Errorf("the panel's session reaches beyond its frame: %v", got["unframed"])
	}
	if got["another"] != "panel_mismatch" || got["anotherSignsIn"] != "panel_mismatch" {
		t.Errorf("shown to another person: %v, and after signing in %v", got["another"], got["anotherSignsIn"])
	}
	if urls := fmt.Sprint(got["urls"]); strings.Contains(urls, "erpsync=") || strings.Contains(urls, "verifier") {
		t.Errorf("the hand-over shows in an address: %s", urls)
	}
	if runs := s.so.Runs(); len(runs) != 6 || runs[0].Who != "per" {
		t.Errorf("SuperOffice ran %+v", runs)
	}
}

func TestPagesOfOtherSitesCannotUseASignedInPersonsBrowser(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	for _, browser := range []string{"", "\t\t\tframed\n"} {
		s := serveExample(t, buildCaddy(t), "", "\t\tbrowser {\n", "\t\tguard {\n\t\t\trate off\n\t\t}\n\t\tbrowser {\n"+browser)
		user := s.so.User("Cust12345", "tove")
		got := node(t, "attack.mjs", "SITE="+s.url, "USERNAME="+user.UPN, "PASSWORD="+user.Password, "CHROMIUM="+chromium)
		if n := agentCalls(s.so); n != 0 || len(s.so.Runs()) != 0 {
			t.Errorf("framed %t: %d calls arrived upstream: %v", browser != "", n, got)
		}
		if got["stillSignedIn"] != 200.0 || got["framed"] != false {
			t.Errorf("framed %t: still signed in %v, shown in a frame %v", browser != "", got["stillSignedIn"], got["framed"])
		}
		if len(got) != 4 {
			t.Errorf("not everything was tried: %v", got)
		}
		t.Logf("framed %t: %v", browser != "", got)
	}
}
