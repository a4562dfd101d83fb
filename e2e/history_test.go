package e2e

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	_ "github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// ask runs a command of caddy erpsync against the site, and returns what it printed.
func (s *site) ask(t *testing.T, binary string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append([]string{"erpsync"}, append(args, "--address", "unix/"+filepath.Join(s.runDir, "erpsync.sock"))...)...).CombinedOutput() //nolint:gosec // just built
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 2) {                                                                                                  //nolint:errorlint // as exec returns it
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func (s *site) failures(t *testing.T, binary string) (found []report.Failure) {
	t.Helper()
	s.historyWritten(t)
	var answer report.Failures
	if err := json.Unmarshal([]byte(s.ask(t, binary, "failures", "--json")), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Failures
}

// historyWritten waits until no row waits to be written.
func (s *site) historyWritten(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		resp, err := http.Get(s.url + "/metrics") //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(raw), "\ncaddy_erpsync_history_rows_queued 0\n")
	})
}

// The story of an operator: keys fail, some are cured, a killed gateway leaves a call of which nobody knows the end, a
// person settles that, and a history that was lost is filled from the audit files.
func TestWhatFailsIsListedUntilItIsCuredOverAKillAndALostFile(t *testing.T) {
	binary := buildCaddy(t)
	s := serveExample(t, binary, "\thandle /metrics {\n\t\tmetrics\n\t}", "\t\toperators ", "\t\thistory sqlite {\n\t\t\tpath {$ERPSYNC_LOGS}/history.db\n\t\t}\n\t\toperators ")
	if found := s.failures(t, binary); len(found) != 0 {
		t.Fatalf("at first: %+v", found)
	}
	for _, body := range []string{`{"ErpConnectionId":613,"InternalKeyIds":[1,2,3]}`, `{"ErpConnectionId":613,"InternalKeyIds":[3,4]}`, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`} {
		s.call(t, body)
	}
	found := s.failures(t, binary)
	if len(found) != 1 || found[0].Keys != 4 || found[0].Tries != 2 || found[0].Connection != 613 || found[0].Tenant != "Cust12345" || found[0].Outcome != "error" || found[0].Remedy == "" {
		t.Fatalf("%+v", found)
	}
	s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok"}`} })
	s.call(t, `{"ErpConnectionId":613,"InternalKeyIds":[1,2]}`)
	if found := s.failures(t, binary); len(found) != 1 || found[0].Keys != 2 {
		t.Errorf("cured in part: %+v", found)
	}

	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held} })
	before := agentCalls(s.so)
	go func() {
		if resp, err := http.DefaultClient.Do(s.request(t.Context(), t, `{"ErpConnectionId":612,"InternalKeyIds":[9]}`)); err == nil {
			resp.Body.Close()
		}
	}()
	eventually(t, func() bool { return agentCalls(s.so) > before })
	s.historyWritten(t)
	s.restart(t, binary)
	found = s.failures(t, binary)
	if len(found) != 2 || found[0].Outcome != "unknown" || found[0].Cause != "no_end" || found[0].Keys != 1 || found[0].Connection != 612 {
		t.Fatalf("after the kill: %+v", found)
	}
	if out := s.ask(t, binary, "failures", "close", strconv.FormatInt(found[0].Group, 10), "--reason", "looked in SuperOffice: it ran"); !strings.Contains(out, "closed: group") {
		t.Error(out)
	}
	left := s.failures(t, binary)
	if len(left) != 1 || left[0].Keys != 2 {
		t.Errorf("after the closing: %+v", left)
	}
	acts, err := exec.CommandContext(t.Context(), binary, "erpsync", "outcomes", "--acts", "--json", s.audit).CombinedOutput() //nolint:gosec // just built
	if err != nil || !strings.Contains(string(acts), `"act":"failures_close"`) || !strings.Contains(string(acts), `"reason":"looked in SuperOffice: it ran"`) {
		t.Errorf("%v: %s", err, acts)
	}
	if out := s.ask(t, binary, "history", "import", s.audit); !strings.HasPrefix(out, "0 calls taken, 5 known already") {
		t.Error(out)
	}

	s.kill()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(s.dir, "history.db"+end)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	s.run(t, binary)
	if found := s.failures(t, binary); len(found) != 0 {
		t.Errorf("the file is lost: %+v", found)
	}
	if out := s.ask(t, binary, "history", "import", s.audit); !strings.HasPrefix(out, "5 calls taken, 0 known already") {
		t.Error(out)
	}
	again := s.failures(t, binary)
	if len(again) != 1 || again[0].Keys != 2 || again[0].RequestID != left[0].RequestID || again[0].Tries != left[0].Tries {
		t.Errorf("from the audit file: %+v, want %+v", again, left)
	}
	for _, secret := range s.secrets(t) {
		raw, err := os.ReadFile(filepath.Join(s.dir, "history.db"))
		if err != nil || strings.Contains(string(raw), secret) {
			t.Errorf("a secret is in the history, or %v", err)
		}
	}
}

func TestACallHasItsEndInTheHistoryThoughItsConfigurationIsGone(t *testing.T) {
	before := goleak.IgnoreCurrent()
	g := newInProcess(t)
	file := filepath.Join(g.dir, "history.db")
	history := "erpsync {\n\t\thistory sqlite {\n\t\t\tpath " + file + "\n\t\t}\n\t}"
	g.load(t, history, "", "")
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"Status":"Ok"}`}
	})
	during := make(chan int, 1)
	go func() {
		during <- g.call(t, http.Header{"Authorization": {"Bearer " + g.provider.Token("Cust12345", time.Hour)}})
	}()
	eventually(t, func() bool { return agentCalls(g.so) == 1 })
	g.load(t, history, "", "keys 0123456789abcdef0123456789abcdef")
	g.load(t, "", "", "")
	if _, err := os.Stat(file + "-wal"); err != nil {
		t.Errorf("a call is under way whose end is to be written: %v", err)
	}
	close(held)
	if status := <-during; status != http.StatusOK {
		t.Error(status)
	}
	closed := func() bool { _, err := os.Stat(file + "-wal"); return os.IsNotExist(err) }
	eventually(t, closed)
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	var rows, processes int
	var outcome string
	if err := db.QueryRowContext(t.Context(), "SELECT count(*), max(outcome), (SELECT count(*) FROM gateways) FROM calls WHERE ended IS NOT NULL").Scan(&rows, &outcome, &processes); err != nil || rows != 1 || outcome != "ok" || processes != 1 {
		t.Errorf("%d rows, %s, opened %d times, %v", rows, outcome, processes, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	g.client.CloseIdleConnections()
	g.server.Close()
	// Caddy's own: its certificate cache lives as long as the process.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*Cache).maintainAssets"), goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}
