package erpsync

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestAConsoleThatWouldLetNobodyOrEverybodyInIsRefused(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"erpsync_console":                "",
		"erpsync_console x":              `wrong arguments of "erpsync_console"; write: erpsync_console { user <placeholder> … }`,
		"erpsync_console {\nuser {x}\n}": "operators: nobody is named, so that nobody could open the console: add operators { <name> support|operator [<CustNNNNN>...] }",
		"erpsync_console {\nuser tove\noperators {\ntove operator\n}\n}":                                       `user "tove": want one placeholder, such as {http.auth.user.id}: a fixed name would let everybody in`,
		"erpsync_console {\nuser {a}{b}\noperators {\ntove operator\n}\n}":                                     `user "{a}{b}": want one placeholder, such as {http.auth.user.id}: a fixed name would let everybody in`,
		"erpsync_console {\noperators {\ntove operator\n}\n}":                                                  "operators: nobody knows who opens the console without user; add user <placeholder>, or leave operators out to answer this machine alone",
		"erpsync_console {\nuser {x}\noperators {\ntove\n}\n}":                                                 "operators: tove: say a role: support or operator",
		"erpsync_console {\nuser {x}\noperators {\ntove operators\n}\n}":                                       `operators: tove: role "operators": want support or operator; did you mean operator?`,
		"erpsync_console {\nuser {x}\noperators {\ntove support\ntove operator\n}\n}":                          "operators: tove: specified more than once",
		"erpsync_console {\nuser {x}\noperators {\n\"\" support\n}\n}":                                         "operators: a name is empty",
		"erpsync_console {\nuser {x}\noperators {\ntove support Kunde1\n}\n}":                                  "operators: tove: tenant Kunde1: want the form Cust12345",
		"erpsync_console {\nuser {x}\noperators tove\n}":                                                       `wrong arguments of "operators"; write: operators { <name> support|operator [<CustNNNNN>...] }, with a person on each line (an environment variable that is not set leaves nothing)`,
		"erpsync_console {\naudit\n}":                                                                          `wrong arguments of "audit"; write: audit views (an environment variable that is not set leaves nothing)`,
		"erpsync_console {\naudits views\n}":                                                                   `unknown option "audits"; did you mean audit?`,
		"erpsync_console {\nuser {x}\noperators {\ntove support Cust1 Cust2\nkari operator\n}\naudit views\n}": "",
	} {
		c := new(Console)
		err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
		got := ""
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), ", at Testfile:")
		}
		if got != want && !(want != "" && strings.HasPrefix(got, want)) {
			t.Errorf("%s:\n\tsays %s\n\twant %s", config, got, want)
		}
	}
}

// open provisions a console as Caddy does.
func open(t *testing.T, config string) *Console {
	t.Helper()
	c := new(Console)
	if err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser(config)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := c.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Cleanup() })
	return c
}

func visitConsole(t *testing.T, c *Console, user string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://console.example/configuration", nil)
	replacer := caddy.NewReplacer()
	if user != "" {
		replacer.Set("http.auth.user.id", user)
	}
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, replacer)
	original := *r
	originalURL := *r.URL
	originalURL.Path = "/below" + originalURL.Path
	original.URL = &originalURL
	w := httptest.NewRecorder()
	if err := c.ServeHTTP(w, r.WithContext(context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, original)), nil); err != nil {
		t.Fatal(err)
	}
	return w.Result(), w.Body.String()
}

func TestWhoOpensTheConsoleIsWhomThePlaceholderNames(t *testing.T) {
	t.Parallel()
	c := open(t, "erpsync_console {\nuser {http.auth.user.id}\noperators {\ntove support\n}\n}")
	for user, want := range map[string]int{"tove": http.StatusOK, "kari": http.StatusForbidden, "": http.StatusForbidden, "{http.auth.user.id}": http.StatusForbidden} {
		resp, page := visitConsole(t, c, user)
		if resp.StatusCode != want {
			t.Errorf("%q: %d", user, resp.StatusCode)
		}
		if want == http.StatusOK && !strings.Contains(page, `href="/below/calls"`) {
			t.Errorf("handle_path took /below off: %s", page)
		}
	}
	if resp, _ := visitConsole(t, open(t, "erpsync_console"), "tove"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("without user, from no address that is known: %d", resp.StatusCode)
	}
}

func TestTheConsolesPageOfTheDocsHasItsGrammar(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("caddyfile_console.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "from Caddyfile tokens:\n//\n")
	text, _, _ := strings.Cut(rest, "func (c *Console)")
	text = strings.TrimSpace(strings.ReplaceAll("\n"+text, "\n//\t", "\n"))
	if text == "" || !strings.Contains(string(page), "```caddyfile\n"+text+"\n```") {
		t.Errorf("docs/configuration.md lacks:\n%s", text)
	}
}
