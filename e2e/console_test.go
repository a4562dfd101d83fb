package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// Who answers the telephone goes from a customer's question to the story of their call, in the demo that anybody can start.
func TestFromACustomersQuestionToTheStoryOfTheirCallInABrowser(t *testing.T) {
	t.Parallel()
	needPackages(t)
	chromium := need(t, "chromium")
	demo := exec.CommandContext(t.Context(), buildCaddy(t), "erpsync", "demo") //nolint:gosec // just built
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	demo.WaitDelay = time.Minute
	demo.Dir = t.TempDir()
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	demo.Stderr = demo.Stdout
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(os.Interrupt)
		_ = demo.Wait()
	})
	address, said := "", ""
	lines := bufio.NewScanner(out)
	for address == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if found := regexp.MustCompile(`^Console: +(http://localhost:[0-9]+)/`).FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
	}
	if address == "" {
		t.Fatalf("the demo names no console:\n%s", said)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()

	got := node(t, "console.mjs", "CONSOLE="+address, "CHROMIUM="+chromium)
	if answer := fmt.Sprint(got["answer"]); !strings.Contains(answer, "2 records do not go through. Failed, and said why (connection 613).") {
		t.Errorf("the customer's page answers %q", answer)
	}
	if story := fmt.Sprint(got["story"]); !strings.Contains(story, "2 records, connection 613.") || !strings.Contains(story, "it failed, and the ERP connection said why.") || !strings.Contains(story, "CONNECTOR_TIMEOUT") {
		t.Errorf("the story: %q", story)
	}
	if got["said"] != "The ERP system did not answer." || got["live"] != true {
		t.Errorf("the ERP said %v, live %v", got["said"], got["live"])
	}
	if shown, _ := got["time"].([]any); len(shown) != 2 || !strings.HasSuffix(fmt.Sprint(shown[1]), "Z") || strings.Contains(fmt.Sprint(shown[0]), "UTC") {
		t.Errorf("a time is shown as %v", got["time"])
	}
	for _, what := range []string{"errors", "violations", "overflow", "foreign"} {
		if found, _ := got[what].([]any); len(found) != 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
	if checked, _ := got["checked"].(float64); checked < 100 {
		t.Errorf("axe looked at %v", got["checked"])
	}
}

// follow opens a stream of the console, and returns what is closed when it has ended.
func follow(t *testing.T, console string) <-chan struct{} {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, console+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		client.CloseIdleConnections()
	}()
	return over
}

// followTen opens ten streams.
func followTen(t *testing.T, console string) (all []<-chan struct{}) {
	t.Helper()
	for range 10 {
		all = append(all, follow(t, console))
	}
	return all
}

// waitForEnds waits for the end of streams.
func waitForEnds(t *testing.T, streams []<-chan struct{}) {
	t.Helper()
	deadline := time.After(time.Minute)
	for _, stream := range streams {
		select {
		case <-stream:
		case <-deadline:
			t.Fatal("a stream goes on")
		}
	}
}

// An open stream holds a server up for the whole grace period, which is 16 minutes, unless it is ended.
func TestPagesThatFollowHoldNoStopUp(t *testing.T) {
	t.Parallel()
	s := serveExample(t, buildCaddy(t), "\thandle_path /console/* {\n\t\terpsync_console\n\t}")
	streams := followTen(t, s.url+"/console")
	began := time.Now()
	if err := s.caddy.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		s.ended <- err
		t.Logf("ended with ten open streams %s after SIGTERM: %v", time.Since(began).Round(time.Millisecond), err)
	case <-time.After(2 * time.Minute):
		t.Fatal("the process goes on")
	}
	waitForEnds(t, streams)
}

func TestPagesThatFollowGoOnAtTheConfigurationAfterAReload(t *testing.T) {
	g := newInProcess(t)
	console := fmt.Sprintf("http://localhost:%d", testport.Take(t))
	load := func(change string) {
		g.load(t, change, "", "}\n}\n"+console+" {\n\tbind 127.0.0.1\n\terpsync_console {")
	}
	load("")
	streams := followTen(t, console)
	load("grace_period 5m")
	waitForEnds(t, streams)
	streams = followTen(t, console)
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	waitForEnds(t, streams)
}
