package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnAdministratorApprovesInABrowserAndARestartForgetsNothing has people follow the link in a real Chromium, then the next service
// call succeeds, and it does after a restart with the memory store too.
func TestAnAdministratorApprovesInABrowserAndARestartForgetsNothing(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	binary := buildCaddy(t)
	s := serveExample(t, binary, "", "tenants file {$ERPSYNC_SECRETS:./sandbox-secrets}/tenants.json", "tenant *")
	s.so.Revoke("erp", "Cust12345")
	call := func() int { return s.call(t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`) }
	if status := call(); status != http.StatusForbidden {
		t.Errorf("before the approval: %d", status)
	}
	admin, person := s.so.User("Cust12345", "tove"), s.so.User("Cust12345", "per")
	got := node(t, "approve.mjs", "SITE="+s.url, "APP=erp", "TENANT=Cust12345", "CHROMIUM="+chromium, "SHOTS="+os.Getenv("ERPSYNC_SHOTS"),
		"PERSON="+person.UPN, "PERSON_PASSWORD="+person.Password, "ADMIN="+admin.UPN, "ADMIN_PASSWORD="+admin.Password)
	token := s.so.SystemToken("erp", "Cust12345")
	for who, want := range map[string][]string{
		"person":   {"An administrator has to do this", "General Administrator"},
		"declines": {"Not approved", "Nothing was changed"},
		"approves": {"Approved", "The app erp may now work in Cust12345 on its own"},
	} {
		seen, _ := got[who].(map[string]any)
		text, _ := seen["text"].(string)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s sees: %v", who, text)
			}
		}
		html, _ := seen["html"].(string)
		if strings.Contains(html, token) || strings.Contains(html, "8A:") {
			t.Errorf("%s sees a secret", who)
		}
		for _, cookie := range seen["cookies"].([]any) {
			if cookie == "__Host-erpsync" || cookie == "__Host-erpsync-framed" || cookie == "__Host-erpsync-attempt" {
				t.Errorf("%s is left with the cookie %s", who, cookie)
			}
		}
		if reloaded, _ := seen["reloaded"].([]any); len(reloaded) != 2 || reloaded[1] != seen["title"] {
			t.Errorf("%s reloads the page and sees %v", who, reloaded)
		}
	}
	for _, url := range got["urls"].([]any) {
		if text := url.(string); strings.Contains(text, token) || strings.HasPrefix(text, s.url) && strings.Contains(text, "code=") {
			t.Errorf("a page's address holds a secret: %s", text)
		}
	}
	for _, problem := range got["violations"].([]any) {
		if text := problem.(string); strings.Contains(text, "Content Security Policy") {
			t.Error(text)
		}
	}
	if status := call(); status != http.StatusOK {
		t.Errorf("after the approval: %d", status)
	}

	s.restart(t, binary)
	if status := call(); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	noneInClear(t, filepath.Join(s.dir, "caddy"), token)
	raw, err := os.ReadFile(s.logFile)
	if err != nil || strings.Contains(string(raw), token) {
		t.Errorf("the log holds the system token, or cannot be read: %v", err)
	}
}
