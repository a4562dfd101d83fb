package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// commander lets a script command the sandbox: /order as its control endpoint, /hold and /release the agent's answers, /runs how many there were.
func commander(t *testing.T, so *sandbox.Sandbox) string {
	t.Helper()
	var mu sync.Mutex
	var held chan struct{}
	release := func() {
		mu.Lock()
		defer mu.Unlock()
		if held != nil {
			close(held)
			held = nil
		}
		so.Answer(nil)
	}
	t.Cleanup(release)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/order":
			raw, err := io.ReadAll(r.Body)
			if err == nil {
				_, err = so.Control(r.Context(), raw)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		case "/hold":
			release()
			mu.Lock()
			hold := make(chan struct{})
			held = hold
			mu.Unlock()
			so.Answer(func(string, int) *sandbox.Answer {
				return &sandbox.Answer{Hold: hold, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"IsOk":true,"Status":"Ok","Changes":{"UpdatedRecords":[{},{}]}}`}
			})
		case "/release":
			release()
		case "/runs":
		default:
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"runs": len(so.Runs())})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// servePage serves docs/examples/page.Caddyfile as it stands, but for the limits that the test needs.
func servePage(t *testing.T) *site {
	t.Helper()
	raw, err := os.ReadFile("../docs/examples/page.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	page, err := filepath.Abs("../docs/examples/page")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, buildCaddy(t), "{\n\tadmin off\n}\n"+strings.Replace(string(raw), "\t\tbrowser {\n", "\t\tguard {\n\t\t\trate off\n\t\t\tin_flight connection 2\n\t\t}\n\t\tbrowser {\n", 1), "ERPSYNC_PAGE="+page)
}

func TestTheExamplePageSaysInWordsHowEveryResyncEnded(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	s := servePage(t)
	user := s.so.User("Cust12345", "tove")
	got := node(t, "page.mjs", "SITE="+s.url, "CONTROL="+commander(t, s.so), "USERNAME="+user.UPN, "PASSWORD="+user.Password, "CHROMIUM="+chromium, "SHOTS="+os.Getenv("ERPSYNC_SHOTS"))
	for _, name := range []string{"light", "dark"} {
		found, _ := got[name].(map[string]any)
		for what, want := range map[string]string{
			"who": user.UPN, "early": "resyncs nothing", "dry": "2 keys through connection 612 of Cust12345, as yourself",
			"ok": "2 updated", "wrong": "“Uno” is not a key", "none": "at least one key",
			"failed": "CONNECTOR_TIMEOUT", "info": "with a note", "warning": "with a warning", "contradictory": "Look in SuperOffice", "nulled": "cannot be read", "null": "Look in SuperOffice",
			"fault 403": "answered with an error", "fault 503": "Try again in 7 seconds", "fault html": "cannot be read", "fault abort": "Look in SuperOffice",
			"running": "no need to send it again", "full": "Try again in", "again": "asks until its answer is there", "answer": "2 updated", "reloaded": "2 updated",
			"found": "has the key 386 through connection 612", "foundResynced": "1 updated", "noKey": "is not synchronised", "lookupFailed": "This does not say that nothing was found",
			"unavailable": "Try again in", "ended": "Sign in again to go on", "signedOut": "Sign out of SuperOffice too",
		} {
			if text, _ := found[what].(string); !strings.Contains(text, want) {
				t.Errorf("%s, %s: %q, want %q", name, what, text, want)
			}
		}
		for what, want := range map[string]string{
			"foundKeys": "386", "ranFound": "1", "lookupKeys": "",
			"ranDry": "0", "ranOnce": "1", "ranAgain": "1", "ranReloaded": "1", "after": "401",
			"order": "[sign-out connection keys check resync]", "wrongFocus": "keys true", "endedFocus": "sign-in", "superid": s.so.Base() + "/login/logout",
			"errors": "[]", "wide": "[]", "pale": "[]",
		} {
			if text := fmt.Sprint(found[what]); text != want && !strings.HasPrefix(text, want+"?") {
				t.Errorf("%s, %s: %s, want %s", name, what, text, want)
			}
		}
	}
}

func TestTheDemoEndsOnAPageInTheBrowser(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	demo := exec.CommandContext(t.Context(), buildCaddy(t), "erpsync", "demo") //nolint:gosec // just built
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Process.Signal(os.Interrupt); _ = demo.Wait() })
	var address, user, password string
	for lines := bufio.NewScanner(out); password == "" && lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "http://") {
			address = line
		}
		if said := regexp.MustCompile(`^Sign in as (\S+) with the password (\w+)\.$`).FindStringSubmatch(line); said != nil {
			user, password = said[1], said[2]
		}
	}
	got := node(t, "demo.mjs", "ADDRESS="+address, "USERNAME="+user, "PASSWORD="+password, "CHROMIUM="+chromium)
	if got["address"] != address || got["status"] != 200.0 || fmt.Sprint(got["errors"]) != "[]" {
		t.Errorf("%s as %s ended at %v", address, user, got)
	}
	if text, _ := got["result"].(string); !strings.Contains(text, "Resynced") || !strings.Contains(text, "2 updated") {
		t.Errorf("the page says %q", text)
	}
}
