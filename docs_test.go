package erpsync

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

func TestTheReadmeHasEveryReasonAndTheGrammarAsItIs(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range auth.Reasons() {
		row := regexp.MustCompile(`(?m)^\| <a id="` + string(reason) + "\"></a>`" + string(reason) + "` \\| [0-9, a-zA-Z`-]+ \\| (.*?) \\| .* \\|$").FindSubmatch(readme)
		if row == nil {
			t.Errorf("the refusal table lacks %s", reason)
		} else if string(row[1]) != reason.Remedy() {
			t.Errorf("%s: the table says %q, the gateway %q", reason, row[1], reason.Remedy())
		}
	}
	source, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "from Caddyfile tokens:\n//\n")
	grammar, _, _ := strings.Cut(rest, "func (h *Handler)")
	grammar = strings.TrimSpace(strings.ReplaceAll("\n"+grammar, "\n//\t", "\n"))
	grammar = strings.ReplaceAll(grammar, "\n//\n", "\n\n")
	if grammar == "" || !strings.Contains(string(readme), "```caddyfile\n"+grammar+"\n```") {
		t.Errorf("the README's grammar is not that of UnmarshalCaddyfile:\n%s", grammar)
	}
}

func TestTheReadmesCaddyfilesAreTheExamples(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docs/examples/online.Caddyfile", "docs/examples/onsite.Caddyfile"} {
		example, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```caddyfile\n"+string(example)+"```") {
			t.Errorf("%s is not in the README as it stands", name)
		}
	}
}

// TestEveryTestThatTheDocsNameExists keeps the threat model and the vendor's page row by row honest.
func TestEveryTestThatTheDocsNameExists(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(raw)
		}
	}
	named := 0
	for _, file := range []string{"docs/threat-model.md", "docs/onsite.md", "docs/force-resync.md"} {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(raw), -1) {
			named++
			if !strings.Contains(tests.String(), "func "+name[1]+"(") {
				t.Errorf("%s names %s, which there is not", file, name[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d tests are named", named)
	}
}
