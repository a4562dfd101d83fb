package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// notice is a message as the receiver printed it.
type notice struct {
	Path, Type, ID, Problem string
	Event                   struct {
		SpecVersion, ID, Type, Subject, Source string
		Data                                   struct {
			Tenant, Outcome string
			Connection      int
			Failures        int
			Sample          bool
		}
	}
}

// startReceiver starts Node.js with the library of Standard Webhooks at a port, and returns what it is sent.
func startReceiver(t *testing.T, port int, secret string) <-chan notice {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	run := exec.CommandContext(ctx, "node", "receiver.mjs")
	run.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret, fmt.Sprintf("PORT=%d", port))
	run.Stderr = os.Stderr
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan notice, 64)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n notice
			if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
				n.Problem = lines.Text()
			}
			received <- n
		}
	}()
	t.Cleanup(func() {
		stop()
		<-over
		_ = run.Wait()
	})
	return received
}

// next returns the next message that is received.
func next(t *testing.T, received <-chan notice) notice {
	t.Helper()
	select {
	case n := <-received:
		return n
	case <-time.After(2 * time.Minute):
		t.Fatal("no message is received")
	}
	return notice{}
}

// A connection fails while nobody receives, the gateway is killed and started again, and the message arrives all the same.
func TestANoticeReachesAReceiverThatVerifiesItWithTheLibrary(t *testing.T) {
	t.Parallel()
	needPackages(t)
	if _, err := os.Stat("node_modules/standardwebhooks"); err != nil && os.Getenv("CI") == "" {
		t.Skip("e2e/node_modules is not up to date: make setup")
	}
	binary := buildCaddy(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("notice", 6)))
	file := filepath.Join(t.TempDir(), "webhook")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := testport.Take(t)
	option := fmt.Sprintf("\t\tnotify {\n\t\t\twebhook http://127.0.0.1:%d/hook {\n\t\t\t\tsecret {file.%s}\n\t\t\t}\n\t\t\tafter 2 1h\n\t\t}\n\t\toperators ", port, file)
	s := serveExample(t, binary, "", "\t\toperators ", option)
	if out := s.ask(t, binary, "notify", "test"); !strings.Contains(out, fmt.Sprintf("not received by http://127.0.0.1:%d: ", port)) || !strings.Contains(out, "nothing listens there") {
		t.Errorf("without a receiver: %s", out)
	}
	for range 2 {
		s.call(t, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`)
	}
	eventually(t, func() bool { return s.logged(t, "notice not received; it is sent again") })
	s.kill()
	received := startReceiver(t, port, secret)
	s.run(t, binary)
	failing := next(t, received)
	if e := failing.Event; failing.Problem != "" || failing.Path != "/hook" || failing.Type != "application/cloudevents+json" || failing.ID != e.ID || e.SpecVersion != "1.0" || e.Type != "com.github.caddy-erpsync.connection.failing.v1" ||
		e.Subject != "erp/Cust12345/613" || e.Source != "/erpsync/custom" || e.Data.Tenant != "Cust12345" || e.Data.Connection != 613 || e.Data.Failures != 2 || e.Data.Outcome != "error" {
		t.Errorf("%+v", failing)
	}
	s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok"}`} })
	s.call(t, `{"ErpConnectionId":613,"InternalKeyIds":[1]}`)
	if recovered := next(t, received); recovered.Problem != "" || recovered.Event.Type != "com.github.caddy-erpsync.connection.recovered.v1" || recovered.Event.Subject != "erp/Cust12345/613" {
		t.Errorf("%+v", recovered)
	}
	if out := s.ask(t, binary, "notify", "test", "--type", "digest"); !strings.Contains(out, "answered 204") || !strings.Contains(out, "com.github.caddy-erpsync.digest.v1") {
		t.Errorf("%s", out)
	}
	if sample := next(t, received); sample.Problem != "" || !sample.Event.Data.Sample {
		t.Errorf("%+v", sample)
	}
	raw, err := os.ReadFile(s.logFile)
	if err != nil || strings.Contains(string(raw), strings.TrimPrefix(secret, "whsec_")) || strings.Contains(string(raw), "/hook") {
		t.Errorf("the log shows the secret or the address's path: %v", err)
	}
	audit, err := os.ReadFile(filepath.Clean(s.audit))
	if err != nil || strings.Count(string(audit), `"act":"notify_test"`) != 2 {
		t.Errorf("acts of the audit log: %v", err)
	}
}
