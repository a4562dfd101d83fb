package erpsync

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
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

func TestAWrongCaddyfileIsRefusedWithItsLineAndOption(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"erpsync /x {\n}":                            `takes no matcher and no argument, got "/x"`,
		"erpsync @x {\n}":                            `takes no matcher`,
		"erpsync {\n\tnonsense\n}":                   `unknown option "nonsense", at Testfile:2`,
		"erpsync {\n\tupstream\n}":                   "wrong argument count",
		"erpsync {\n\tupstream a b\n}":               "wrong argument count",
		"erpsync {\n\tupstream a\n\tupstream b\n}":   `option "upstream" stands here twice, at Testfile:3`,
		"erpsync {\n\tapp\n}":                        "wrong argument count",
		"erpsync {\n\tapp a {\n\t\tx\n\t}\n}":        `unknown option "x", at Testfile:3`,
		"erpsync {\n\tstore etcd\n}":                 "store etcd: want memory or redis",
		"erpsync {\n\tstore memory {\n\ttls\n}\n}":   `unknown option "tls"`,
		"erpsync {\n\tstore redis {\n\tdb 1\n}\n}":   `unknown option "db"`,
		"erpsync {\n\ttransport fastcgi\n}":          "want http",
		"erpsync {\n\tguard {\n\t\tmax_body x\n}\n}": "no number of bytes above zero",
		"erpsync {\n\tbrowser {\n\t\tidle 0\n}\n}":   "no duration above zero",
		"erpsync {\n\tsuperoffice\n}":                "wrong argument count",
		"erpsync {\n\tjwt a {\n\t\tapp a b\n}\n}":    "wrong argument count",
	} {
		err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", config, err, want)
		}
	}
}

func TestTheStartRefusesWhatCannotWorkOrIsNotSafe(t *testing.T) {
	t.Parallel()
	const app = "app a {\nclient_id x\nclient_secret y\nagents ErpSync\ntenant *\n}\n"
	dir := t.TempDir()
	write(t, dir+"/open", "secret")
	if err := os.Chmod(dir+"/open", 0o644); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	for config, want := range map[string]string{
		"environment http://superoffice.example":                     "plain http is taken on loopback only",
		"environment online\nupstream https://a":                     "exclude each other",
		"upstream https://a?x":                                       "plain URL",
		"app a {\ntenant X\n}":                                       "want the form Cust12345",
		"app a {\ntenant Cust1\ntenant cust1\n}":                     "stands twice",
		"app a {\noperations DeleteConnection\n}":                    "DeleteConnection cannot be granted",
		"app a {\noperations ChangeEngineStatus\n}":                  "cannot be granted",
		"app a {\nresync_all maybe\n}":                               "want deny, confirm or allow",
		"app a {\ncall_as nobody\n}":                                 "want user, system or account",
		"app a {\ncall_as system\n}":                                 "needs client_secret and private_key",
		"app a {\ncall_as account u p\n}":                            "use call_as user or system",
		"app a {\nclient_secret {env.ERPSYNC_NOT_SET}\n}":            "client_secret: the placeholder in it has no value",
		"app a {\nclient_secret {file." + dir + "/open}\n}":          "readable by everybody",
		"app a {\nclient_secret x\nprivate_key y\ncall_as system\n}": "private_key: want PEM or <RSAKeyValue> XML",
		"app a {\ntenants file " + dir + "/none\n}":                  "tenants file",
		"app a {\nconnections x\n}":                                  "want a connection's number, or crm",
		"app a\napp a":                                               "configured twice",
		"browser":                                                    "say which app",
		"app a\nbrowser":                                             "needs client_id and client_secret",
		app + "browser {\norigins http://pages.example\n}":           "https beyond loopback",
		app + "browser {\norigins *\n}":                              "origins",
		app + "browser\nkeys short":                                  "key 1 has 5 bytes",
		app + "browser\nsuperoffice session":                         "cookie XSRF-TOKEN",
		app + "store redis":                                          "address: say where it is",
		app + "store redis {\naddress localhost\n}":                  "want host:port",
		app + "store redis {\naddress localhost:6379\n}":             "needs keys",
		app + "store redis {\naddress localhost:6379\nusername x\n}\nkeys 0123456789abcdef0123456789abcdef": "username without password",
		app + "superoffice basic": "onsite only",
		app + "superoffice ntlm":  "no scheme",
		app + "jwt https://i {\naudience x\njwks https://i/k\ntenant Cust1\n}":                                "call_as user",
		app + "jwt https://i {\napp claim a\njwks https://i/k\ntenant Cust1\n}":                               "audience is required",
		app + "jwt https://i {\naudience x\napp claim a\njwks http://i/k\ntenant Cust1\n}":                    "want https",
		app + "jwt https://i {\naudience x\napp claim a\ntenant Cust1\n}":                                     "jwks is required",
		app + "jwt https://i {\naudience x\napp claim a\njwks https://i/k\n}":                                 "say which tenant",
		app + "jwt https://i {\naudience x\napp claim a\njwks https://i/k\ntenant Cust1\nalgorithms HS256\n}": "HS256",
		app + "transport http {\nproxy_protocol v2\n}":                                                        "proxy_protocol cannot work here",
	} {
		_, err := provision(t, config, zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n\t%v\n\twant %s", config, err, want)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	f.Add("erpsync {\n\tapp a {\n\t\ttenant * x {\n\t\t\tconnections\n\t\t}\n\t}\n}")
	f.Fuzz(func(_ *testing.T, config string) {
		_ = new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(config))
	})
}
