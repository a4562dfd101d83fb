package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAMeasurementWaitsUntilTheHistoryHasWrittenItsRows(t *testing.T) {
	t.Parallel()
	queued := []int{2, 1, 0}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, "# TYPE x gauge\ncaddy_erpsync_history_rows_queued %d\ncaddy_erpsync_history_rows_lost_total 7\n", queued[asked])
		asked++
	}))
	defer server.Close()
	r, p := &room{ctx: t.Context()}, process{admin: strings.TrimPrefix(server.URL, "http://")}
	if err := r.drained(p)(); err != nil || asked != len(queued) {
		t.Errorf("asked %d times: %v", asked, err)
	}
	asked = 0
	if lost, err := r.lost(p); err != nil || lost != 7 {
		t.Errorf("%v %v", lost, err)
	}
	asked = 0
	if _, err := r.metric(p, "caddy_erpsync_history_rows"); err == nil {
		t.Error("a metric that is not there is none")
	}
}
