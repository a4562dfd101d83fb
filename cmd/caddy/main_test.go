package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestAReleaseHoldsNoSandbox(t *testing.T) {
	t.Parallel()
	for tags, want := range map[string]bool{"": true, "nosandbox": false} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, ".").CombinedOutput() //nolint:gosec // our own arguments
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "github.com/pb33f/") {
			t.Errorf("with the tags %q, holds what only tests need", tags)
		}
		for _, name := range []string{"/sandbox\n", "/internal/demo\n"} {
			if got := strings.Contains(string(out), "github.com/caddy-erpsync/caddy-erpsync"+name); got != want {
				t.Errorf("with the tags %q, holds %s: %v", tags, strings.TrimSpace(name), got)
			}
		}
	}
}
