package erpsync

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens anew")

func adapt(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(raw, map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, warning := range warnings {
		t.Errorf("%s: %v", name, warning)
	}
	var indented any
	if err := json.Unmarshal(adapted, &indented); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(indented, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestEveryCaddyfileAdaptsToItsGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/adapt/*.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("docs/examples/*.Caddyfile")
	if err != nil || len(files) == 0 || len(examples) == 0 {
		t.Fatal("no Caddyfiles found", err)
	}
	for _, file := range append(append(files, examples...), "Caddyfile.example") {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(caddyfile.Format(raw)), string(raw)); diff != "" {
				t.Errorf("caddy fmt would change it: %s", diff)
			}
			golden := "testdata/adapt/" + filepath.Base(file) + ".json"
			got := adapt(t, file)
			if *update {
				write(t, golden, string(got))
			}
			want, err := os.ReadFile(filepath.Clean(golden))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What an operator looks for in an access log is the path, and what nobody may find there is the secret.
func TestTheExamplesLogsHideSecretsInAddressesAndNothingElse(t *testing.T) {
	t.Parallel()
	operations := regexp.MustCompile(`"regexp": ("(?:[^"\\]|\\.)*"),\s*"value": ("(?:[^"\\]|\\.)*")`)
	for _, file := range []string{"Caddyfile.example", "docs/examples/cluster.Caddyfile"} {
		found := operations.FindAllSubmatch(adapt(t, file), -1)
		if len(found) == 0 {
			t.Fatalf("%s: no expressions", file)
		}
		for uri, want := range map[string]string{
			"/erpsync/callback?code=canary&state=canary":                    "/erpsync/callback?code=REDACTED&state=REDACTED",
			"/erpsync/probe?code=canary":                                    "/erpsync/probe?code=REDACTED",
			"/Cust12345/api/v1/Agents/ErpSync/ForceResync?$select=IsOk":     "/Cust12345/api/v1/Agents/ErpSync/ForceResync?$select=IsOk",
			"/erpsync/approve?app=erp&tenant=Cust12345&Access_Token=canary": "/erpsync/approve?app=erp&tenant=Cust12345&Access_Token=REDACTED",
			"/a\u2028b\u0085c": "/a?b?c",
		} {
			got := uri
			for _, operation := range found {
				var expression, value string
				if err := errors.Join(json.Unmarshal(operation[1], &expression), json.Unmarshal(operation[2], &value)); err != nil {
					t.Fatal(err)
				}
				got = regexp.MustCompile(expression).ReplaceAllString(got, value)
			}
			if got != want {
				t.Errorf("%s: %q is logged as %q", file, uri, got)
			}
		}
	}
}

func TestAWrongCaddyfileIsRefusedWithItsLineAndOption(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"erpsync /x {\n}":                            `takes no matcher and no argument, got "/x"`,
		"erpsync @x {\n}":                            `takes no matcher`,
		"erpsync {\n\tnonsense\n}":                   `unknown option "nonsense", at Testfile:2`,
		"erpsync {\n\tupstream\n}":                   `wrong arguments of "upstream"; write: upstream <url>`,
		"erpsync {\n\tupstream a b\n}":               `write: upstream <url>`,
		"erpsync {\n\tupstream a\n\tupstream b\n}":   `option "upstream" specified more than once, at Testfile:3`,
		"erpsync {\n\tapp\n}":                        "write: app <name> {",
		"erpsync {\n\tapp a {\n\t\tx\n\t}\n}":        `unknown option "x", at Testfile:3`,
		"erpsync {\n\tstore etcd\n}":                 "store etcd: want memory or redis",
		"erpsync {\n\tstore memory {\n\ttls\n}\n}":   `unknown option "tls"`,
		"erpsync {\n\tstore redis {\n\tdb 1\n}\n}":   `unknown option "db"`,
		"erpsync {\n\ttransport fastcgi\n}":          "want http",
		"erpsync {\n\tguard {\n\t\tmax_body x\n}\n}": "invalid size",
		"erpsync {\n\tbrowser {\n\t\tidle 0\n}\n}":   "invalid duration",
		"erpsync {\n\tsuperoffice\n}":                "write: superoffice session|bearer|soticket|basic",
		"erpsync {\n\tjwt a {\n\t\tapp a b\n}\n}":    "write: app <name>|claim <claim>",
	} {
		err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", config, err, want)
		}
	}
}

func TestAMistakeIsToldWithTheLineOfItsOption(t *testing.T) {
	t.Parallel()
	const config = `erpsync {
	environment ENVIRONMENT
	transport http {
		dial_timeout 1s
	}
	app a {
		client_id x
		client_secret y
		agents AGENT
		tenant Cust1 {
			resync_all RESYNC
		}
		tenant Cust2
		operations OPERATION
		call_as CALLAS
		CONNECTIONS
	}
	app OTHER {
		client_secret x
		private_key y
		tenant *
		call_as system
	}
	browser {
		app APP
		idle IDLE
	}
	jwt https://i {
		audience x
		algorithms ALGORITHM
		tenant Cust1
		app b
	}
}`
	good := map[string]string{
		"ENVIRONMENT": "online", "AGENT": "ErpSync", "RESYNC": "deny", "OPERATION": "ForceResync", "CALLAS": "user", "CONNECTIONS": "resync_all deny",
		"OTHER": "b", "APP": "a", "IDLE": "1h", "ALGORITHM": "ES256",
	}
	for word, c := range map[string]struct {
		bad  string
		line int
	}{
		"ENVIRONMENT": {"onlin", 2},
		"AGENT":       {"ErpSynk", 9},
		"RESYNC":      {"maybe", 11},
		"OPERATION":   {"ForceSync", 14},
		"CALLAS":      {"system", 15},
		"CONNECTIONS": {"connections 612 x", 16},
		"OTHER":       {"a", 18},
		"APP":         {"c", 25},
		"IDLE":        {"25h", 26},
		"ALGORITHM":   {"HS256", 30},
	} {
		var pairs []string
		for other, value := range good {
			if other == word {
				value = c.bad
			}
			pairs = append(pairs, other, value)
		}
		err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(strings.NewReplacer(pairs...).Replace(config)))
		if err == nil || !strings.HasSuffix(err.Error(), ", at Testfile:"+strconv.Itoa(c.line)) {
			t.Errorf("%s %s: %v, want line %d", word, c.bad, err, c.line)
		}
	}
}

func TestAWrongOperatorsSocketIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	const want = "want a unix socket with a file, such as unix//run/caddy/erpsync.sock"
	for config, want := range map[string]string{
		"erpsync {\n\toperators unix//run/x.sock|0660\n}":             "",
		"erpsync /run/x.sock":                                         "write: erpsync { operators unix//<path>[|<mode>] … }",
		"erpsync {\n\thistory\n}":                                     "write: history sqlite { path <path> … }, or history postgres { dsn {file./path} … }",
		"erpsync {\n\thistory mysql\n}":                               "history mysql: this Caddy keeps no history; want sqlite or postgres",
		"erpsync {\n\thistory postgres\n}":                            "history postgres: this Caddy keeps no history; postgres is there with github.com/caddy-erpsync/caddy-erpsync/history/postgres in the build",
		"erpsync {\n\thistory sqlite\n}":                              "history sqlite: this Caddy keeps no history; sqlite is there with github.com/caddy-erpsync/caddy-erpsync/history/sqlite in the build",
		"erpsync {\n\toperators\n}":                                   "write: operators unix//<path>[|<mode>]",
		"erpsync {\n\toperator unix//run/x.sock\n}":                   `unknown option "operator"; did you mean operators?, at Testfile:2`,
		"erpsync {\n\toperators localhost:2020\n}":                    want,
		"erpsync {\n\toperators unix/@abstract\n}":                    want, // anyone on the machine may open it
		"erpsync {\n\toperators unixgram//run/x.sock\n}":              want,
		"erpsync {\n\toperators unix//a.sock\n\toperators unix//b\n}": `option "operators" specified more than once`,
		"erpsync {\n\toperators /run/caddy/erpsync.sock\n}":           want,
		"erpsync {\n\tnotify {\n\t\twebhook https://hooks.example/x {\n\t\t\tsecret {file./run/a} {file./run/b}\n\t\t}\n\t\tafter 5 1h\n\t}\n}": "",
		"erpsync {\n\tnotify on\n}":                                        "write: notify { webhook <url> … }",
		"erpsync {\n\tnotify {\n\t\twebhook\n\t}\n}":                       "write: webhook <url> { secret <secret...> … }",
		"erpsync {\n\tnotify {\n\t\twebhook http://hooks.example/\n\t}\n}": "webhook: want https; plain http is taken on loopback only",
		"erpsync {\n\tnotify {\n\t\tafter 0\n\t}\n}":                       `invalid number "0": must be 1 or more`,
		"erpsync {\n\tnotify {\n\t\tafter 3 15\n\t}\n}":                    `invalid duration "15": must be positive and have a unit`,
		"erpsync {\n\tnotify {\n\t\tcredential secret 31.3.2027\n\t}\n}":   `invalid day "31.3.2027": want yyyy-mm-dd, such as 2027-03-31`,
		"erpsync {\n\tnotify {\n\t\twebhok x\n\t}\n}":                      `unknown option "webhok"; did you mean webhook?`,
	} {
		err := new(Service).UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", config, err, want)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	f.Add("erpsync {\n\tapp a {\n\t\ttenant * x {\n\t\t\tconnections\n\t\t}\n\t}\n}")
	f.Fuzz(func(_ *testing.T, config string) {
		_ = new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
	})
}
