package operator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// probing is a gateway that begins a probe, and is at each of the stages in turn when it is asked.
func probing(t *testing.T, stages ...report.Probed) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == report.ProbePath:
			_ = json.NewEncoder(w).Encode(report.Probe{ID: "the id", Address: "https://gateway.example/erpsync/probe?code=K", Until: time.Now()})
		case r.Method == http.MethodGet && r.URL.Path == report.ProbedPath && r.URL.Query().Get("id") == "the id" && len(stages) > 0:
			_ = json.NewEncoder(w).Encode(stages[0])
			stages = stages[1:]
		default:
			http.Error(w, `{"error":"no such probe"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func probeReport() *probe.Report {
	return &probe.Report{Version: "v1", Environment: "sod", Facts: []probe.Fact{
		{Question: "nonce", Asks: "?", Answer: "absent", Found: "the id_token has none", Assumes: "there; without, nobody signs in", Differs: true, Change: []string{"one option", "another " + strings.Repeat("long ", 30)}},
		{Question: "refused_agent", Asks: "?", Found: "not refused: " + strings.Repeat("word ", 30), Assumes: "403"},
		{Question: "redirect_uri_at_refresh", Asks: "?", Answer: "optional", Found: "a refresh is taken with it and without", Assumes: "not needed"},
	}}
}

func TestAProbePrintsTheAddressBesideTheReport(t *testing.T) {
	t.Parallel()
	report1 := probeReport()
	report1.Facts = report1.Facts[1:]
	address := probing(t, report.Probed{Stage: "sign_in"}, report.Probed{Stage: "sign_in"}, report.Probed{Stage: "over", Report: report1})
	out, errs, err := runs(t, probeCommand(), "erp", "Cust12345", "--json", "--address", address)
	var got probe.Report
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got.Facts) != 2 {
		t.Errorf("%s %v", out, err)
	}
	if !strings.Contains(errs, "\n  https://gateway.example/erpsync/probe?code=K\n") || strings.Count(errs, "waiting for somebody to sign in") != 1 {
		t.Errorf("%s", errs)
	}
}

func TestAProbeWithoutAReportFailsAndSaysWhy(t *testing.T) {
	t.Parallel()
	address := probing(t, report.Probed{Stage: "over", Error: "nobody signed in in time\x1b"})
	if out, _, err := runs(t, probeCommand(), "erp", "Cust12345", "--address", address); err == nil || err.Error() != "probe: nobody signed in in time?" || out != "" {
		t.Errorf("%s %v", out, err)
	}
	if _, _, err := runs(t, probeCommand(), "erp", "Cust12345", "--address", probing(t)); err == nil || err.Error() != "probe: no such probe" {
		t.Error(err)
	}
	asked, count := answering(t, http.StatusOK, report.Probe{})
	if _, _, err := runs(t, probeCommand(), "Cust12345", "erp", "--address", asked); err == nil || *count > 0 {
		t.Errorf("%v", err)
	}
}

func TestAProbesTableFitsAndSaysWhatToChange(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printProbe(&out, probeReport()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 || strings.TrimRight(line, " \n")+"\n" != line {
			t.Errorf("%d characters: %q", n, line)
		}
	}
	for _, want := range []string{
		"nonce                     absent: the id_token has none           there; without, nobody signs in\n", "                          change: one option\n                          change: another long",
		"refused_agent             not observed: not refused: word word", "\n2 of 3 questions answered, 1 differs from what the gateway assumes\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Count(out.String(), "word") != 30 {
		t.Errorf("something is cut:\n%s", out.String())
	}
}
