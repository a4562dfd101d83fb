package erpsync

import (
	"os"
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
		if !strings.Contains(string(readme), "| <a id=\""+string(reason)+"\"></a>`"+string(reason)+"`") {
			t.Errorf("the refusal table lacks %s", reason)
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
