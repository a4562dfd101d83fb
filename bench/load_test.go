package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// loadOf runs a load of one caller against a handler.
func loadOf(t *testing.T, handler http.HandlerFunc, job loadJob) loadResult {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	job.URL, job.Host, job.CallersFile = server.URL, "gateway.example", filepath.Join(t.TempDir(), "callers.json")
	if err := os.WriteFile(job.CallersFile, []byte(`[{"Path":"/call","Header":{"X-Caller":["one"]}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := runLoad(bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	var result loadResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestALoadCountsAndTellsWhatTheFirstBadAnswerSaid(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		var calls atomic.Int32
		result := loadOf(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.Host != "gateway.example" || r.URL.Path != "/call" || r.Header.Get("X-Caller") != "one" || !strings.Contains(string(body), `"ErpConnectionId":612`) || (r.ProtoMajor == 2) != h2 {
				t.Errorf("%s %s %s %v %s %v", r.Method, r.Host, r.URL, r.Header, body, err)
			}
			switch n := calls.Add(1); {
			case n%10 == 0:
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"reason":"not_granted","detail":"Not this one."}`)
			case n%3 == 0:
				_, _ = io.WriteString(w, strings.Repeat("long ", 100_000))
			}
		}, loadJob{Connections: 2, Seconds: 0.2, Rate: 500, Want: http.StatusOK, HTTP2: h2})
		if result.Requests != 100 || int(calls.Load()) != result.Requests || result.Bad != 10 || result.FirstBad != "HTTP 403 not_granted: Not this one." || result.P50 <= 0 || result.P99 < result.P50 {
			t.Errorf("HTTP/2 %t: %+v of %d", h2, result, calls.Load())
		}
	}
}

func TestALoadGoesOnAfterAConnectionThatTheServerClosed(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	result := loadOf(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) % 4 {
		case 1:
			w.Header().Set("Connection", "close")
		case 2:
			panic(http.ErrAbortHandler)
		}
	}, loadJob{Connections: 1, Seconds: 0.1, Rate: 200, Want: http.StatusOK})
	if result.Requests != 20 || result.Bad != 5 || !strings.Contains(result.FirstBad, "EOF") {
		t.Errorf("%+v", result)
	}
}
