package auditlog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func line(ts, id, rest string) string {
	return fmt.Sprintf(`{"level":"info","ts":%s,"logger":"http.handlers.erpsync.audit","msg":"erpsync call","request_id":%q,%s}`+"\n", ts, id, rest)
}

const ok = `"app":"erp","tenant":"Cust1","principal":"idp#sync","operation":"ForceResync","connection_id":612,"keys":{"count":2,"first":[386,230]},"resync_all":false,"decision":"allowed","status":200,"outcome":"ok","duration":1.5`

// folder writes what two gateways left: rolled, packed, and with other lines between.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(line("1795539442.5", "one", ok)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write("a-2026.log.gz", packed.Bytes())
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	write("b-2026.log.zst", encoder.EncodeAll([]byte(line("1795539443", "two",
		`"app":"portal","tenant":"Cust2","operation":"ForceResync","connection_id":613,"keys":{"count":300,"first":[1,2]},"decision":"allowed","status":200,"outcome":"error","error_code":"ERP\u001b[31m","duration":60`)), nil))
	write("a.log", []byte(
		`{"ts":1795539444,"msg":"erpsync call started","request_id":"three","tenant":"Cust1","operation":"ForceResync"}`+"\n"+
			"not JSON\n"+`{"ts":1,"msg":"handled request"}`+"\n"+
			line(`"2026-11-24T16:57:25Z"`, "three", strings.Replace(ok, `"resync_all":false`, `"resync_all":true`, 1))+
			`{"ts":1795539450,"msg":"erpsync call started","request_id":"killed","app":"erp","tenant":"Cust1","principal":"idp#killed","operation":"ForceResync","connection_id":614,"keys":{"count":7,"first":[9001,9002,9003,9004,9005,9006,9007]}}`+"\n"+
			line("1795539451000", "five", `"tenant":"Cust1","operation":"ForceResync","decision":"refused","reason":"resync_all_denied","status":403`)))
	return dir
}

func outcomes(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := outcomesCommand()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestFilesOfSeveralGatewaysAreReadInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	out, errs, err := outcomes(t, "--json", folder(t))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for raw := range strings.Lines(out) {
		l, err := parse([]byte(strings.TrimSpace(raw)))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		ids = append(ids, l.RequestID)
	}
	if got := strings.Join(ids, " "); got != "one two three five killed" {
		t.Errorf("order: %s", got)
	}
	if !strings.Contains(errs, "2 lines are no audit lines") {
		t.Errorf("remarks: %s", errs)
	}
}

func TestEveryFilterLetsItsOwnThrough(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for args, want := range map[string]string{
		"--app portal":                          "two",
		"--tenant cust2,Cust9":                  "two",
		"--outcome error":                       "two",
		"--decision refused":                    "five",
		"--connection 613":                      "two",
		"--key 386":                             "one three",
		"--key 7":                               "three",
		"--request one":                         "one",
		"--principal idp#sync":                  "one three",
		"--since 2026-11-24T16:57:24Z":          "three five killed",
		"--until 2026-11-24T16:57:23Z":          "one",
		"--tenant Cust1 --outcome ok --key 230": "one three",
	} {
		out, errs, err := outcomes(t, append(strings.Fields(args), "--json", dir)...)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		var ids []string
		for raw := range strings.Lines(out) {
			l, _ := parse([]byte(strings.TrimSpace(raw)))
			ids = append(ids, l.RequestID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
		if strings.Contains(args, "--key") && strings.Contains(errs, "may have touched the key") != !strings.Contains(args, "Cust1") {
			t.Errorf("%s: remarks: %s", args, errs)
		}
	}
}

const jwtRefused = `"client_ip":"10.1.2.3","operation":"ForceResync","decision":"refused","reason":"credential_invalid","cause":"jwt: aud is \"x\", want \"y\"","status":401`

func TestARequestIsToldInWords(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	visit := strings.Replace(line("1795539452", "seven", `"client_ip":"10.1.2.3","endpoint":"/callback","app":"portal","decision":"refused","reason":"credential_invalid","cause":"begun too long ago","status":403`), "erpsync call", "erpsync endpoint refused", 1)
	signedOut := func(id, fields string) string {
		return strings.Replace(line("1795539453", id, `"endpoint":"/sign-out","app":"portal","tenant":"Cust1","principal":"tove@uno.example","decision":"allowed",`+fields+`,"status":200`), "erpsync call", "erpsync signed out", 1)
	}
	visit += signedOut("eight", `"everywhere":true,"sessions_ended":3,"refresh_tokens_revoked":1`) + signedOut("nine", `"refresh_tokens_revoked":0,"cause":"superid: revoke: 404 Not Found"`)
	lookup := func(id, fields string) string {
		return strings.Replace(line("1795539454", id, `"app":"portal","tenant":"Cust1","principal":"tove@uno.example","scheme":"session",`+fields), "erpsync call", "erpsync lookup", 1)
	}
	visit += lookup("ten", `"question":"contact","connection_id":612,"searched_id":4711,"decision":"allowed","status":200,"found":2,"duration":0.25`) +
		lookup("eleven", `"question":"name","connection_id":612,"decision":"refused","reason":"lookup_failed","cause":"the archive answered HTTP 403","status":502`)
	if err := os.WriteFile(filepath.Join(dir, "c.log"), []byte(line("1795539452", "six", jwtRefused)+visit), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]string{
		"one":    {"asked ForceResync for app erp in Cust1, connection 612, 2 keys", "by idp#sync", "allowed 200 after 1.500 s", "outcome ok"},
		"two":    {"outcome error ERP?[31m", "to do look into the ERP connection"},
		"six":    {`refused 401 credential_invalid: The credential did not prove itself.`, `because jwt: aud is "x", want "y"`, "by not named, from 10.1.2.3", "more https://github.com/caddy-erpsync/caddy-erpsync/blob/main/docs/errors.md#credential_invalid"},
		"seven":  {"asked the endpoint /callback for app portal", "refused 403 credential_invalid", "because begun too long ago"},
		"eight":  {"asked the endpoint /sign-out for app portal in Cust1", "by tove@uno.example", "ended 3 sessions; SuperID took back 1 refresh tokens"},
		"nine":   {"ended sessions that the store did not count; SuperID took back 0 refresh tokens", "but superid: revoke: 404 Not Found"},
		"ten":    {"asked the endpoint /lookup for app portal in Cust1, by contact, connection 612", "by tove@uno.example (session)", "found 2 after 0.250 s"},
		"eleven": {"by name, connection 612", "refused 502 lookup_failed: SuperOffice did not answer the look-up", "because the archive answered HTTP 403", "to do see"},
		"killed": {"connection 614, 7 keys", "it may have run"},
	} {
		out, _, err := outcomes(t, "--request", id, dir)
		said := strings.Join(strings.Fields(out), " ")
		for _, text := range append(want, "request "+id) {
			if err != nil || !strings.Contains(said, text) {
				t.Errorf("%s: no %q in\n%s", id, text, out)
			}
		}
		if strings.Count(out, "request ") != 1 || strings.Contains(out, "OPERATION") {
			t.Errorf("%s: told as\n%s", id, out)
		}
		t.Log("\n" + out)
	}
	if out, _, err := outcomes(t, "--summary", dir); err != nil || !strings.Contains(out, "5 calls") {
		t.Errorf("a refused sign-in counts as a call: %v\n%s", err, out)
	}
}

func TestTheSummaryCountsAndNamesCallsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	out, _, err := outcomes(t, "--summary", folder(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 calls", "ok       2", "error    1", "resync_all_denied", "60.000s", "No end told", "killed"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("what an answer said steers the terminal")
	}
}

func TestCallsWithoutAnEndAreFoundByWhatTheirFirstLineSays(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for _, args := range []string{"", "--outcome unknown", "--key 9006", "--connection 614", "--principal idp#killed", "--app erp --tenant cust1", "--decision allowed", "--since 2026-11-24"} {
		out, _, err := outcomes(t, append(strings.Fields(args), dir)...)
		if err != nil || !strings.Contains(out, "unknown") || !strings.Contains(out, "\nno_end: "+noEndMeans+"\n") ||
			!strings.Contains(strings.Join(strings.Fields(out), " "), "killed: connection 614, keys 9001 9002 9003 9004 9005 and 2 more, for idp#killed, begun 20") {
			t.Errorf("%s: %s %v", args, out, err)
		}
		wide, _, err := outcomes(t, append(strings.Fields(args), "--wide", dir)...)
		if err != nil || !strings.Contains(wide, "no_end idp#killed\n") {
			t.Errorf("%s: %s %v", args, wide, err)
		}
		raw, _, err := outcomes(t, append(strings.Fields(args), "--json", dir)...)
		if err != nil || !strings.Contains(raw, `"msg":"erpsync call started","request_id":"killed"`) || strings.Contains(raw, `started","request_id":"three"`) {
			t.Errorf("%s: %s %v", args, raw, err)
		}
	}
	for _, args := range []string{"--outcome error", "--request one", "--key 386", "--decision refused", "--until 2020-01-01", "--acts"} {
		if out, _, _ := outcomes(t, append(strings.Fields(args), dir)...); strings.Contains(out, "no_end") {
			t.Errorf("%s: %s", args, out)
		}
	}
	out, _, err := outcomes(t, "--summary", "--json", dir)
	if err != nil || !strings.Contains(out, `"principal": "idp#killed",`) || !strings.Contains(out, `"connection_id": 614,`) || !strings.Contains(out, `"keys": 7`) {
		t.Errorf("%s %v", out, err)
	}
}

func TestATableNamesWhatHappened(t *testing.T) {
	t.Parallel()
	out, _, err := outcomes(t, folder(t))
	if err != nil || strings.Count(out, "\n") < 8 || !strings.Contains(out, "ERP?[31m") || !strings.Contains(out, "resync_all_denied") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestThatNothingMatchesIsSaid(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for args, want := range map[string]bool{"--request none": true, "--tenant Cust99": true, "--until 2020-01-01 --json": true, "--acts": true, "--wide": false, "--summary --tenant Cust99": false} {
		_, errs, err := outcomes(t, append(strings.Fields(args), dir)...)
		if err != nil || strings.Contains(errs, "Nothing matches: ") != want {
			t.Errorf("%s: %q %v", args, errs, err)
		}
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for args, want := range map[string]string{
		"--outcome fine " + dir:       "want some of ok, info, warning",
		"--decision maybe " + dir:     "want allowed, refused",
		"--since yesterday " + dir:    "is no time",
		filepath.Join(dir, "missing"): "no such file",
		t.TempDir():                   "holds no *.log files",
		"":                            "requires at least 1 arg",
	} {
		if _, _, err := outcomes(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestAMomentIsReadHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for raw, want := range map[string]string{
		"90m": "2026-11-24T10:30:00Z", "7d": "2026-11-17T12:00:00Z", "2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01 08:30": "2026-11-01T08:30:00Z", "2026-11-01T08:30:00+02:00": "2026-11-01T06:30:00Z",
	} {
		if got, err := ParseMoment(raw, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v", raw, got, err)
		}
	}
}

// FuzzLine lets any line stand in an audit file.
func FuzzLine(f *testing.F) {
	f.Add([]byte(line("1", "a", ok)))
	f.Add([]byte(`{"ts":"2026-11-24T18:17:25Z","msg":"erpsync call","keys":{"first":[{}]},"connection_id":1e9}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := parse(raw); err == nil {
			_, _ = (&Filter{Keys: []string{"1"}}).matches(&l)
			_ = layoutOf(l.Act != nil, false).row(&l, command.Colors{})
		}
	})
}
