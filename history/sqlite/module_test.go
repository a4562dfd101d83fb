package sqlite_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
)

func adapt(options string) (string, error) {
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\n\tadmin off\n\terpsync {\n"+options+"\n}\n}\n"), map[string]any{"filename": "Caddyfile"})
	return string(raw), err
}

func TestTheOptionsOfTheHistoryAreReadAndWrongOnesNamed(t *testing.T) {
	t.Parallel()
	got, err := adapt("history sqlite {\npath /var/lib/caddy/history.db\nkeep 30d\nmax_size 200MiB\n}")
	if want := `{"admin":{"disabled":true},"apps":{"erpsync":{"history":{"driver":"sqlite","keep":2592000000000000,"max_size":209715200,"path":"/var/lib/caddy/history.db"}}}}`; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := adapt("history sqlite"); err != nil || !strings.Contains(got, `"history":{"driver":"sqlite"}`) {
		t.Errorf("%s, %v", got, err)
	}
	for options, want := range map[string]string{
		"history":                               `wrong arguments of "history"; write: history sqlite { path <path> … }`,
		"history mysql":                         "history mysql: this Caddy keeps only sqlite; want sqlite or postgres",
		"history sqlite x":                      `wrong arguments of "history sqlite"`,
		"history sqlite {\npath\n}":             `option "path" of history sqlite takes one value`,
		"history sqlite {\nkeep 90\n}":          `invalid duration "90": must be positive and have a unit, such as 12h or 90d`,
		"history sqlite {\nmax_size 1k\n}":      `invalid size "1k": must be 1MiB or more, such as 500MiB`,
		"history sqlite {\nsize 1MiB\n}":        `unknown option "size" of history sqlite; want path, keep or max_size`,
		"history sqlite {\nkeep 1d\nkeep 2d\n}": `option "keep" specified more than once`,
		"history sqlite\nhistory sqlite":        `option "history" specified more than once`,
	} {
		if _, err := adapt(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", options, err)
		}
	}
}

// config is a configuration with nothing but a history.
func config(path string, keep int64) []byte {
	raw, _ := json.Marshal(path)
	return fmt.Appendf(nil, `{"admin":{"disabled":true,"config":{"persist":false}},"apps":{"erpsync":{"history":{"driver":"sqlite","path":%s,"keep":%d}}}}`, raw, keep)
}

// TestTheFileIsOpenedOnceByWhatRunsAndNeverByWhatIsValidated runs Caddy, of which a process has one.
func TestTheFileIsOpenedOnceByWhatRunsAndNeverByWhatIsValidated(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir()) // Caddy notes its id there
	path := filepath.Join(t.TempDir(), "history.db")
	var parsed caddy.Config
	if err := json.Unmarshal(config(path, 0), &parsed); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&parsed); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("validated: %v", err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	for reload := range 3 {
		if err := caddy.Load(config(path, int64(reload+1)*1e12), true); err != nil {
			t.Fatal(err)
		}
		if runs := sqlite.Runs(t, path); runs != 1 {
			t.Errorf("reload %d: opened %d times", reload, runs)
		}
	}
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}}}`), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing uses it any more, and it is open: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database at all ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config(path, 0), true); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is none: %v", err)
	}
}
