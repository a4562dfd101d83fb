package operator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestABareHoldOrReleaseAsksNobody(t *testing.T) {
	t.Parallel()
	address, asked := answering(t, 200, report.Held{})
	if _, _, err := runs(t, holdCommand(), "--reason", "r", "--address", address); err == nil || !strings.Contains(err.Error(), "name an app") {
		t.Error(err)
	}
	if _, _, err := runs(t, releaseCommand(), "--address", address); err == nil || !strings.Contains(err.Error(), "name an app") {
		t.Error(err)
	}
	if *asked != 0 {
		t.Errorf("%d questions", *asked)
	}
}

func TestAHoldSaysWhatIsHeldUntilWhenAndByWhom(t *testing.T) {
	t.Parallel()
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	h := report.HoldStatus{Target: "tenant Cust12345, connection 612", Reason: "repair", By: "ops", Since: time.Now(), Until: &until}
	for name, c := range map[string]struct {
		answer    report.Held
		out, fail string
	}{
		"for a while": {report.Held{Hold: h}, "on hold: tenant Cust12345, connection 612, until 2030-01-02 03:04:05\n  by ops, 0s ago: repair\n", ""},
		"for good":    {report.Held{Hold: report.HoldStatus{Target: "everything", Reason: "r", By: "ops", Since: time.Now()}}, "on hold: everything, until it is released\n", ""},
		"unknown":     {report.Held{Hold: h, Unknown: "no app"}, "on hold:", "hold: no app. It is on hold all the same"},
	} {
		address, _ := answering(t, 200, c.answer)
		out, _, err := runs(t, holdCommand(), "--tenant", "Cust12345", "--connection", "612", "--reason", "repair", "--for", "2h", "--address", address)
		if !strings.HasPrefix(out, c.out) || (err == nil) != (c.fail == "") || err != nil && err.Error() != c.fail {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
}

func TestAReleaseSaysWhatIsStillOnHold(t *testing.T) {
	t.Parallel()
	rest := []report.HoldStatus{{Target: "app erp", Reason: "r", By: "ops", Since: time.Now()}}
	for name, c := range map[string]struct {
		answer    report.Released
		out, fail string
	}{
		"the last":    {report.Released{Target: "everything", Found: true}, "released: everything\nNothing is on hold.\n", ""},
		"one of two":  {report.Released{Target: "everything", Found: true, Remaining: rest}, "released: everything\non hold: app erp, until it is released\n", ""},
		"not on hold": {report.Released{Target: "everything", Remaining: rest}, "on hold: app erp", "release: no hold names everything and nothing else; name the same app, tenant and connection as the hold"},
	} {
		address, _ := answering(t, 200, c.answer)
		out, _, err := runs(t, releaseCommand(), "--all", "--address", address)
		if !strings.HasPrefix(out, c.out) || (err == nil) != (c.fail == "") || err != nil && err.Error() != c.fail {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
}

func TestAReleaseOfWhatCannotBeReadSaysWhetherThereWasAny(t *testing.T) {
	t.Parallel()
	for found, fail := range map[bool]string{true: "", false: "release: everything that is kept as holds can be read; nothing was changed"} {
		var asked report.ReleaseRequest
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewDecoder(r.Body).Decode(&asked)
			_ = json.NewEncoder(w).Encode(report.Released{Target: "what could not be read", Found: found})
		}))
		t.Cleanup(server.Close)
		out, _, err := runs(t, releaseCommand(), "--all", "--unreadable", "--address", server.Listener.Addr().String())
		if !asked.All || !asked.Unreadable || strings.HasPrefix(out, "released: what could not be read\n") != found || (err == nil) != found || err != nil && err.Error() != fail {
			t.Errorf("%+v: %q %v", asked, out, err)
		}
	}
}

func TestWhatIsOnHoldNeedsAttention(t *testing.T) {
	t.Parallel()
	status := report.Status{Apps: []report.AppStatus{{App: "erp"}}, Holds: []report.HoldStatus{{Target: "everything", Reason: "r", By: "ops", Since: time.Now()}}}
	address, _ := answering(t, 200, status)
	out, _, _ := runs(t, statusCommand(), "--attention", "--address", address)
	if !strings.HasPrefix(out, "on hold: everything, until it is released\n  by ops, 0s ago: r\n") || strings.Contains(out, "All is well") {
		t.Error(out)
	}
}
