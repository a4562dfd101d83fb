package erpsync

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProductionBuildHoldsNoSandbox(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dep := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(dep, "github.com/caddy-erpsync/caddy-erpsync/") && (strings.HasSuffix(dep, "/sandbox") || strings.Contains(dep, "/internal/demo") || strings.Contains(dep, "/e2e")) {
			t.Errorf("the module's root needs %s", dep)
		}
	}
}

// The wire and the decision must be readable, and testable, without Caddy.
func TestTheInnerRoomsKnowNoCaddy(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./superoffice", "./auth/...", "./outcome", "./guard/...", "./history", "./notify", "./gateway/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(string(out), "github.com/caddyserver/") {
		t.Error("an inner room imports Caddy")
	}
}

func TestXcaddyBuildsACaddyThatHoldsTheModule(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds Caddy with xcaddy: not in -short")
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "caddy")
	// A version is named so that no module proxy is asked which ones there are.
	build := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+filepath.Join(root, "tools", "go.mod"), "xcaddy", "build", strings.TrimSpace(string(version)), //nolint:gosec // our own arguments
		"--with", "github.com/caddy-erpsync/caddy-erpsync@v0.0.0="+root, "--output", binary)
	build.Env = append(os.Environ(), "XCADDY_SETCAP=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "list-modules").CombinedOutput() //nolint:gosec // just built
	if err != nil || !strings.Contains(string(out), "http.handlers.erpsync\n") {
		t.Errorf("%v: the module is not in it", err)
	}
}
