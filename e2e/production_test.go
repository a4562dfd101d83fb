package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
)

// The commands are those of docs/production.md, as they stand there.
func TestAPersonIsForgottenAsTheDocsSay(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	command := func(word string) string {
		found := regexp.MustCompile("(?m)^" + word + " .*$").FindString(string(docs))
		if found == "" {
			t.Fatalf("the docs have no command %s", word)
		}
		return found
	}
	need(t, "jq")
	binary := buildCaddy(t)
	s := serveExample(t, binary, "")
	client, _, err := demo.SignIn(t.Context(), s.url, s.so, "Cust12345", "tove")
	if err != nil {
		t.Fatal(err)
	}
	status := func() int {
		resp, err := client.Get(s.url + "/erpsync/session") //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status() != http.StatusOK {
		t.Fatal("not signed in")
	}
	run := func(line string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line) //nolint:gosec // our own docs
		cmd.Env, cmd.Dir = append(os.Environ(), "ERPSYNC_RUN="+s.runDir), s.dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return string(out)
	}
	// "caddy" is the one just built.
	if out := run(strings.Replace(command("caddy erpsync forget"), "caddy", binary, 1)); !strings.Contains(out, "1 session ") || !strings.Contains(out, "not touched") {
		t.Errorf("forget: %s", out)
	}
	if got := status(); got != http.StatusUnauthorized {
		t.Errorf("still signed in: %d", got)
	}
	const line = `{"msg":"erpsync call","principal":"tove@uno.example","tenant":"Cust12345"}` + "\n"
	if err := os.WriteFile(s.dir+"/audit.log", []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	run(command("jq"))
	cut, err := os.ReadFile(s.dir + "/audit.log.new")
	if want := strings.Replace(line, "tove@uno.example", "erased", 1); err != nil || string(cut) != want {
		t.Errorf("%v %s", err, cut)
	}
}
