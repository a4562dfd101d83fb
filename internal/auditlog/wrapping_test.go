package auditlog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// entry is a line as Caddy writes it, of some length.
func entry(id, rest string) string {
	return strings.TrimSuffix(line("1795539442.5", id, ok+rest), "\n")
}

// asConsole is the same line in Caddy's console format.
func asConsole(id, rest string) string {
	return "2026/11/24 16:57:22.500\tINFO\thttp.handlers.erpsync.audit\terpsync call\t{\"request_id\": \"" + id + "\", " + ok + rest + "}"
}

func quoted(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func docker(t *testing.T, text string) string {
	return `{"log":` + quoted(t, text) + `,"stream":"stderr","time":"2026-11-24T16:57:22.5Z"}`
}

func journal(t *testing.T, message any) string {
	return `{"__REALTIME_TIMESTAMP":"1795539442500000","PRIORITY":"6","MESSAGE":` + quoted(t, message) + `,"_SYSTEMD_UNIT":"caddy.service"}`
}

func TestLinesAreReadWhateverWrapsThem(t *testing.T) {
	t.Parallel()
	long := `,"user_explanation":"` + strings.Repeat("x", 20_000) + `"`
	numbers := make([]int, 0, 400)
	for _, b := range []byte(strings.Replace(asConsole("a", ""), "INFO", "\x1b[34mINFO\x1b[0m", 1)) {
		numbers = append(numbers, int(b))
	}
	whole := entry("a", long)
	for name, lines := range map[string][]string{
		"bare":                        {entry("a", "")},
		"console":                     {asConsole("a", "")},
		"console with colours":        {strings.Replace(asConsole("a", ""), "INFO", "\x1b[34mINFO\x1b[0m", 1)},
		"console with an ISO time":    {strings.Replace(asConsole("a", ""), "2026/11/24 16:57:22.500", "2026-11-24T16:57:22.500Z", 1)},
		"console with seconds":        {strings.Replace(asConsole("a", ""), "2026/11/24 16:57:22.500", "1.7955394425e+09", 1)},
		"Docker":                      {docker(t, entry("a", "")+"\n")},
		"Docker, console":             {docker(t, asConsole("a", "")+"\n")},
		"Docker, in parts":            {docker(t, whole[:16384]), docker(t, whole[16384:]+"\n")},
		"CRI":                         {"2026-11-24T16:57:22.500000000Z stderr F " + entry("a", "")},
		"CRI, another zone":           {"2026-11-24T16:57:22.5+02:00 stdout F " + asConsole("a", "")},
		"CRI, in parts":               {"2026-11-24T16:57:22.5Z stderr P " + whole[:8000], "2026-11-24T16:57:22.5Z stderr P " + whole[8000:16000], "2026-11-24T16:57:22.5Z stderr F " + whole[16000:]},
		"journald":                    {journal(t, entry("a", ""))},
		"journald, as bytes":          {journal(t, numbers)},
		"journald of a pod":           {journal(t, "2026-11-24T16:57:22.5Z stderr F "+entry("a", ""))},
		"journalctl -o short":         {"Nov 24 16:57:22 host caddy[123]: " + entry("a", "")},
		"journalctl -o short console": {"Nov 24 16:57:22 host caddy[123]: " + asConsole("a", "")},
		"Compose":                     {"caddy-1  | " + entry("a", "")},
		"carriage returns":            {entry("a", "") + "\r"},
	} {
		file := filepath.Join(t.TempDir(), "x.log")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, err := outcomes(t, "--json", "--tenant", "Cust1", file)
		if err != nil || errs != "" || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v %s %.200s", name, err, errs, out)
			continue
		}
		var found struct {
			ID      string `json:"request_id"`
			Message string `json:"msg"`
			Status  int    `json:"status"`
			Keys    struct{ Count int }
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil || found.ID != "a" || found.Message != "erpsync call" || found.Status != 200 || found.Keys.Count != 2 {
			t.Errorf("%s: %v %.200s", name, err, out)
		}
		for _, moment := range [][]string{{"--until", "2026-11-24T16:57:22Z"}, {"--since", "2026-11-24T16:57:23Z"}} {
			if out, _, err := outcomes(t, append(moment, "--json", file)...); name != "console" && (err != nil || out != "") {
				t.Errorf("%s: at another time %v: %v %.100s", name, moment, err, out)
			}
		}
	}
}

func TestWhatLooksLikeALineAndIsNoneIsPassedOver(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a console line of another":  "2026/11/24 16:57:22.500\tINFO\thttp.log.access\thandled request\t{}",
		"a message in the fields":    "2026/11/24 16:57:22.500\tINFO\tx\tother\t{\"msg\":\"erpsync call\"}",
		"a console line without end": "2026/11/24 16:57:22.500\tINFO\tx\terpsync call\t{\"request_id\"",
		"console without a time":     "yesterday\tINFO\tx\terpsync call\t{}",
		"Docker of another":          docker(t, "{}\n"),
		"journald without message":   `{"MESSAGE":null}`,
		"journald with no bytes":     `{"MESSAGE":[300]}`,
	} {
		file := filepath.Join(t.TempDir(), "x.log")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _, err := outcomes(t, "--json", file); err == nil || out != "" || !strings.Contains(err.Error(), "no audit line was read: 1 line is something else") {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}

func TestReadingNoAuditLineIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "no audit line was read: what was named is empty",
		"\n\n":                               "no whole line is in what was named",
		"{\"msg\":\"handled request\"}\nx\n": "2 lines are something else. Name the file to which the logger http.handlers.erpsync.audit writes",
	} {
		file := filepath.Join(t.TempDir(), "x.log")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{"--json", "--summary", "--wide"} {
			if _, _, err := outcomes(t, mode, file); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q %s: %v", text, mode, err)
			}
		}
	}
	if _, _, err := outcomes(t, "--tenant", "Cust777", folder(t)); err != nil {
		t.Errorf("lines that no filter lets through are lines: %v", err)
	}
}

func TestActsAreToldApartFromCalls(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.log")
	act := `{"level":"info","ts":1795539460,"logger":"http.handlers.erpsync.audit","msg":"erpsync admin act","act":"revoke","actor":"tove","actor_proof":"unix_peer","actor_uid":1000,"tenant":"Cust1","user":"per@uno.example","result":"failed","cause":"the store\u001b"}`
	if err := os.WriteFile(file, []byte(entry("a", "")+"\n"+act+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := outcomes(t, "--acts", file)
	if err != nil || errs != "" || strings.Count(out, "\n") != 2 || !strings.Contains(out, "tove") || !strings.Contains(out, "per@uno.example") || strings.Contains(out, "\x1b") {
		t.Errorf("%v %s\n%s", err, errs, out)
	}
	if out, _, err := outcomes(t, "--acts", "--json", "--tenant", "Cust1", file); err != nil || out != act+"\n" {
		t.Errorf("%v %s", err, out)
	}
	if out, _, err := outcomes(t, "--acts", "--json", "--tenant", "Cust2", file); err != nil || out != "" {
		t.Errorf("%v %s", err, out)
	}
	if out, _, err := outcomes(t, "--json", file); err != nil || strings.Contains(out, "revoke") {
		t.Errorf("%v %s", err, out)
	}
	given := `{"ts":1795539461,"msg":"erpsync admin act","act":"release","actor":"tove","all":true,"unreadable":true,"result":"done"}`
	if err := os.WriteFile(file, []byte(given+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := outcomes(t, "--acts", file); err != nil || !strings.Contains(out, "unreadable holds") {
		t.Errorf("%v %s", err, out)
	}
	imported := `{"ts":1795539461,"msg":"erpsync admin act","act":"tenants_import","actor":"tove","app":"erp","tenants":{"count":5,"first":["Cust1","Cust2","Cust3","Cust4"]},"result":"done"}`
	if err := os.WriteFile(file, []byte(imported+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]bool{"--tenant Cust4": true, "--tenant cust2 --app erp": true, "--tenant Cust2 --app other": false, "--tenant Cust9": false} {
		if out, _, err := outcomes(t, append(strings.Fields(args), "--acts", file)...); err != nil || strings.Contains(out, "Cust1 Cust2 Cu") != want {
			t.Errorf("%s: %v %s", args, err, out)
		}
	}
	if _, _, err := outcomes(t, "--acts", "--summary", file); err == nil {
		t.Error("acts are summed up")
	}
}

func TestTheTableFitsAndABatchTaskIsNoSuccess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.log")
	rest := fmt.Sprintf(`"app":%q,"tenant":"Cust1234567","principal":%q,"operation":"ForceResyncExternalNoBlankValues","connection_id":612,"keys":{"count":2},"decision":"allowed","status":204,"outcome":"accepted","error_code":%q,"duration":100.5`,
		strings.Repeat("a", 40), strings.Repeat("b", 80), strings.Repeat("c", 90))
	if err := os.WriteFile(file, []byte(line("1795539442.5", "ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0", rest)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{file}, {"--summary", file}} {
		out, _, err := outcomes(t, args...)
		if err != nil || !strings.Contains(out, "\naccepted: SuperOffice does not report its outcome\n") {
			t.Errorf("%v %s", err, out)
		}
		for row := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(row, "\n")); n > 100 {
				t.Errorf("%d characters: %s", n, row)
			}
		}
	}
	if out, _, err := outcomes(t, "--wide", file); err != nil || !strings.Contains(out, "ddbf1fe5-5983-48be-a5d0-f82ebdbd1ba0") || !strings.Contains(out, strings.Repeat("c", 90)) || !strings.Contains(out, "ForceResyncExternalNoBlankValues") {
		t.Errorf("%v %s", err, out)
	}
}

// FuzzUnwrap lets anything stand around a line.
func TestANoticeOfSuperOfficesIsAmongTheActs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.log")
	notice := `{"ts":1795539461,"msg":"erpsync tenant status","act":"backup_restored","actor":"SuperOffice","actor_proof":"push","app":"erp","tenant":"Cust1","reason":"restored","node":"gw-1","result":"held"}`
	if err := os.WriteFile(file, []byte(entry("a", "")+"\n"+notice+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := outcomes(t, "--acts", "--tenant", "Cust1", file)
	if err != nil || !strings.Contains(out, "SuperOffice") || !strings.Contains(out, "held") || !strings.Contains(out, "backup_restor") || !strings.Contains(out, "restored\n") {
		t.Errorf("%v %s", err, out)
	}
	if out, _, err := outcomes(t, "--acts", "--json", "--tenant", "Cust1", file); err != nil || out != notice+"\n" {
		t.Errorf("%v %s", err, out)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte(`{"log":"{\"msg\":\"erpsync call\"}\n"}`), []byte("2026-11-24T16:57:22Z stderr P {"))
	f.Add([]byte(`{"MESSAGE":[123,125]}`), []byte("2026/11/24 16:57:22.500\tINFO\tx\terpsync call\t{ }"))
	f.Add([]byte("x {"), []byte("\terpsync admin act\t{"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var u unwrapper
		for _, raw := range [][]byte{first, second} {
			text, whole := u.next(raw)
			if !whole {
				continue
			}
			if l, err := parse(text); err == nil && !json.Valid(l.Raw) {
				t.Errorf("%q is no JSON", l.Raw)
			}
		}
	})
}
