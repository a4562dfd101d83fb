package e2e

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// The end of a call may wait for a moment to be written, its beginning may not.
func TestAGatewayThatEndsLeavesTheLinesOfItsCalls(t *testing.T) {
	t.Parallel()
	binary := buildCaddy(t)
	s := serveExample(t, binary, "")

	// In an orderly way, right after a call: nothing is missing.
	if status := s.call(t, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`); status != http.StatusOK {
		t.Fatal(status)
	}
	if err := s.caddy.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	if begun, over := s.audited(t, `"msg":"erpsync call started"`), s.audited(t, `"msg":"erpsync call"`); begun != 1 || over != 1 {
		t.Errorf("after SIGTERM: %d begun, %d over", begun, over)
	}

	// Killed, while SuperOffice has a call: it is there.
	s.run(t, binary)
	held := make(chan struct{})
	defer close(held)
	s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held} })
	before := agentCalls(s.so)
	go func() {
		if resp, err := http.DefaultClient.Do(s.request(t.Context(), t, `{"ErpConnectionId":612,"InternalKeyIds":[2]}`)); err == nil {
			resp.Body.Close()
		}
	}()
	eventually(t, func() bool { return agentCalls(s.so) == before+1 })
	s.kill()
	s.ended <- nil // for the cleanup
	if begun, over := s.audited(t, `"msg":"erpsync call started"`), s.audited(t, `"msg":"erpsync call"`); begun != 2 || over != 1 {
		t.Errorf("after SIGKILL: %d begun, %d over", begun, over)
	}
}
