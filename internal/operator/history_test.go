package operator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestAnImportBringsCallsAndNothingElse(t *testing.T) {
	t.Parallel()
	var got []report.ImportedCall
	batches := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q report.HistoryImportRequest
		if r.URL.Path != report.ImportHistoryPath || json.NewDecoder(r.Body).Decode(&q) != nil || len(q.Calls) > report.MaxImportCalls || q.Environment != "https://a" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		batches++
		got = append(got, q.Calls...)
		_ = json.NewEncoder(w).Encode(report.HistoryImport{Taken: len(q.Calls) - 1, Known: 1})
	}))
	t.Cleanup(server.Close)
	lines := []string{
		`{"ts":1795539440,"msg":"erpsync call started","request_id":"ended","scheme":"jwt","operation":"ForceResync"}`,
		`{"ts":1795539450.5,"msg":"erpsync call","request_id":"ended","app":"erp","tenant":"Cust1","principal":"p","scheme":"jwt","credential":"system soticket","operation":"ForceResync","connection_id":612,"keys":{"count":101,"first":[1,2]},"resync_all":false,"environment":"online","node":"n","decision":"allowed","status":200,"outcome":"error","outcome_cause":"c","error_code":"E1","sends":1,"duration":10.5}`,
		`{"ts":1795539451,"msg":"erpsync call started","request_id":"open","app":"erp","scheme":"jwt","operation":"ForceResyncExternal","connection_id":612,"actor_type":"Customer","keys":{"count":1,"first":["K1"]}}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"refused","scheme":"jwt","decision":"refused","reason":"operation_not_granted","cause":"because","status":403}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"stranger","decision":"refused","reason":"credential_missing","status":401}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"unproved","scheme":"jwt","unproved":true,"decision":"refused","reason":"app_token_mismatch","status":403}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"dry","scheme":"jwt","decision":"dry_run","status":200}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"dry refused","scheme":"jwt","dry_run":true,"decision":"refused","reason":"body_not_understood","status":400}`,
		`{"ts":1795539452,"msg":"erpsync call","request_id":"preflight","decision":"preflight","status":204}`,
		`{"ts":1795539452,"msg":"erpsync admin act","act":"revoke","result":"done"}`,
		`{"ts":1795539452,"msg":"erpsync endpoint refused","request_id":"visit","endpoint":"/callback","decision":"refused","status":400}`,
	}
	for range report.MaxImportCalls {
		lines = append(lines, `{"ts":1795539460,"msg":"erpsync call","request_id":"more","scheme":"jwt","decision":"allowed","outcome":"ok","status":200}`)
	}
	file := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := runs(t, historyCommand(), "import", "--address", server.Listener.Addr().String(), "--environment", "https://a", file)
	if err != nil || batches != 2 || !strings.HasPrefix(out, "1001 calls taken, 2 known already, 7 left out") {
		t.Fatalf("%v: %s%s in %d batches", err, out, errs, batches)
	}
	at := time.UnixMicro(1795539450_500_000)
	ended := got[0]
	if ended.RequestID != "ended" || !ended.Ended.Equal(at) || !ended.Started.Equal(at.Add(-10500*time.Millisecond)) || ended.KeyCount != 101 || len(ended.Keys) != 2 || string(ended.Keys[1]) != "2" ||
		*ended.Connection != 612 || ended.Outcome != "error" || ended.OutcomeCause != "c" || ended.ErrorCode != "E1" || ended.Sends != 1 || ended.Environment != "online" || ended.Node != "n" || ended.Credential != "system soticket" || ended.Principal != "p" || ended.Status != 200 {
		t.Errorf("%+v", ended)
	}
	if refused := got[1]; refused.RequestID != "refused" || refused.Cause != "because" || refused.Reason != "operation_not_granted" || refused.Connection != nil {
		t.Errorf("%+v", refused)
	}
	if open := got[len(got)-1]; open.RequestID != "open" || open.Ended != nil || !open.Started.Equal(time.Unix(1795539451, 0)) || open.ActorType != "Customer" || string(open.Keys[0]) != `"K1"` {
		t.Errorf("%+v", open)
	}
	if _, _, err := runs(t, historyCommand(), "import", "--address", server.Listener.Addr().String(), "--since", "x", file); err == nil || !strings.HasPrefix(err.Error(), "--since") {
		t.Error(err)
	}
	got = nil
	if _, _, err := runs(t, historyCommand(), "import", "--address", server.Listener.Addr().String(), "--environment", "https://a", "--since", "2099-01-01", file); err != nil || len(got) != 0 {
		t.Errorf("since later: %v, %d", err, len(got))
	}
	if _, _, err := runs(t, historyCommand(), "import", "--address", server.Listener.Addr().String(), "/dev/null"); err == nil || !strings.Contains(err.Error(), "no audit line was read") {
		t.Error(err)
	}
}
