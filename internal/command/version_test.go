package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/build"
)

func TestTheCommandPrintsWhatIsKnown(t *testing.T) {
	t.Parallel()
	info := build.Info{Version: "v1.2.3", Revision: "8a8d6db4fa1c", Modified: true, Time: "2026-11-26T10:00:00Z", Sum: "h1:x=", Caddy: "v2.11.9", Go: "go1.26.8", Platform: "linux/amd64"}
	var out strings.Builder
	if err := printVersion(&out, info); err != nil {
		t.Fatal(err)
	}
	want := "erpsync   v1.2.3\nrevision  8a8d6db4fa1c with changes, 2026-11-26T10:00:00Z\nsum       h1:x=\ncaddy     v2.11.9\ngo        go1.26.8 linux/amd64\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}

	var raw bytes.Buffer
	cmd := versionCommand()
	cmd.SetArgs([]string{"--json"})
	cmd.SetOut(&raw)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	var got build.Info
	if err := json.Unmarshal(raw.Bytes(), &got); err != nil || got != build.Read() {
		t.Errorf("%v: %s", err, raw.Bytes())
	}
}
