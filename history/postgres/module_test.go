package postgres_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	_ "github.com/caddy-erpsync/caddy-erpsync/history/postgres"
	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

func adapt(options string) (string, error) {
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\n\tadmin off\n\terpsync {\nhistory postgres {\n"+options+"\n}\n}\n}\n"), map[string]any{"filename": "Caddyfile"})
	return string(raw), err
}

func TestTheOptionsAreReadAndWrongOnesNamed(t *testing.T) {
	t.Parallel()
	got, err := adapt("dsn {file./etc/caddy/postgres}\nschema calls\ntimeout 2s\nkeep 30d\nmax_size 20GiB")
	if want := `{"admin":{"disabled":true},"apps":{"erpsync":{"history":{"driver":"postgres","dsn":"{file./etc/caddy/postgres}","keep":2592000000000000,"max_size":21474836480,"schema":"calls","timeout":2000000000}}}}`; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	for options, want := range map[string]string{
		"":                                   "option dsn is missing; write: dsn {file./path} or dsn {env.NAME}",
		"dsn host=db user=erpsync":           `option "dsn" of history postgres takes one value; put one with spaces in quotes`,
		"dsn x\ndsn y":                       `option "dsn" specified more than once`,
		"dsn x\nkeep 90":                     `invalid duration "90": must be positive and have a unit, such as 5s or 90d`,
		"dsn x\ntimeout -1s":                 `invalid duration "-1s"`,
		"dsn x\nmax_size 1MiB":               `invalid size "1MiB": must be 16MiB or more, such as 10GiB`,
		"dsn x\npath /x":                     `unknown option "path" of history postgres; want dsn, schema, timeout, keep or max_size`,
		"dsn postgres://u:canary@db/erpsync": "dsn: password written in plain text; use {file./path} or {env.NAME}",
	} {
		if _, err := adapt(options); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", options, err)
		}
	}
}

// validate judges a configuration with nothing but a history.
func validate(t *testing.T, dsn, schema string) error {
	t.Helper()
	options, err := json.Marshal(map[string]string{"driver": "postgres", "dsn": dsn, "schema": schema})
	if err != nil {
		t.Fatal(err)
	}
	var parsed caddy.Config
	if err := json.Unmarshal(fmt.Appendf(nil, `{"admin":{"disabled":true,"config":{"persist":false}},"apps":{"erpsync":{"history":%s}}}`, options), &parsed); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&parsed)
}

// TestAConfigurationIsJudgedWithoutAConnection runs Caddy, of which a process has one. Nothing listens at the address.
func TestAConfigurationIsJudgedWithoutAConnection(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir()) // Caddy notes its id there
	nobody := testport.Address(t)
	t.Setenv("ERPSYNC_TEST_DSN", "postgres://u:canary@"+nobody+"/erpsync")
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("host=db.example.com user=erpsync password='canary x' sslmode=verify-full\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dsn, schema, want string }{
		"of an environment variable":  {dsn: "{env.ERPSYNC_TEST_DSN}"},
		"of a file, in pairs":         {dsn: "{file." + file + "}"},
		"a socket of this machine":    {dsn: "postgres:///erpsync?host=/run/postgresql"},
		"disabled by name":            {dsn: "postgres://erpsync@db.example.com/erpsync?sslmode=disable"},
		"without verification":        {dsn: "postgres://erpsync@db.example.com/erpsync?sslmode=require"},
		"a password as a placeholder": {dsn: "postgres://erpsync:{env.ERPSYNC_TEST_DSN}@db.example.com/erpsync?sslmode=verify-full", want: "dsn: "}, // a URL is no password
		"none":                        {want: "option dsn is missing"},
		"no variable":                 {dsn: "{env.ERPSYNC_TEST_NONE}", want: "the placeholder in it has no value"},
		"in plain text":               {dsn: "host=db password=canary", want: "dsn: password written in plain text"},
		"in plain text, quoted":       {dsn: "postgres://db/erpsync?user=u&password=canary", want: "dsn: password written in plain text"},
		"not read":                    {dsn: "postgres://u@db:canary/erpsync", want: "dsn: is neither a URL"},
		"without TLS in silence":      {dsn: "postgres://u@db.example.com/erpsync", want: "dsn: would go on without TLS where db.example.com has none; write sslmode=verify-full"},
		"one of two without TLS":      {dsn: "postgres://u@localhost,db.example.com/erpsync?sslmode=prefer", want: "where db.example.com has none"},
		"a schema of the server":      {dsn: "postgres://u@localhost/erpsync", schema: "pg_catalog", want: `schema "pg_catalog": want a name of small letters`},
		"a schema that needs quotes":  {dsn: "postgres://u@localhost/erpsync", schema: `a"b`, want: "want a name of small letters"},
	} {
		err := validate(t, c.dsn, c.schema)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") && c.schema == "" {
			t.Errorf("%s: the password is told: %v", name, err)
		}
	}
}
