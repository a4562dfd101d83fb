package erpsync

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
)

// TestTheErrorsPageSaysOfEachReasonWhatIsSent: the type of a problem document leads to the reason's section, for good.
func TestTheErrorsPageSaysOfEachReasonWhatIsSent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]map[string]string)
	for section := range strings.SplitSeq(string(page), "\n## ") {
		name, text, _ := strings.Cut(section, "\n")
		if name = strings.Trim(name, "`"); !strings.HasPrefix(name, "#") {
			sections[name] = make(map[string]string)
			for _, line := range regexp.MustCompile(`(?m)^- ([A-Za-z-]+): (.*)$`).FindAllStringSubmatch(text, -1) {
				sections[name][line[1]] = line[2]
			}
		}
	}
	for _, reason := range auth.Reasons() {
		got, name := sections[string(reason)], string(reason)
		delete(sections, name)
		statuses := strings.Trim(strings.ReplaceAll(fmt.Sprint(reason.Statuses()), " ", ", "), "[]")
		after := ""
		if usual := reason.Statuses()[0]; usual == http.StatusTooManyRequests || usual == http.StatusServiceUnavailable {
			after = "always"
		}
		if got["Status"] != statuses || !strings.HasPrefix(got["When"], reason.Detail()) || got["Operator"] != reason.Remedy() || got["Caller"] == "" || got["Retry-After"] != after {
			t.Errorf("%s: the page has %q; sent: %s, %q, Retry-After %s; the operator: %q", name, got, statuses, reason.Detail(), after, reason.Remedy())
		}
		if (after == "always") != (auth.Refuse(reason, os.ErrInvalid).RetryAfter > 0) {
			t.Errorf("%s: Retry-After %v", name, auth.Refuse(reason, os.ErrInvalid).RetryAfter)
		}
		if !strings.Contains(string(readme), "[`"+name+"`](docs/errors.md#"+name+")") {
			t.Errorf("the README leads nowhere for %s", name)
		}
		w := httptest.NewRecorder()
		new(gateway.Gateway).WriteRefusal(w, httptest.NewRequest(http.MethodPost, "/", nil), "id", auth.Refuse(reason, os.ErrInvalid), webpage.Page{})
		if want := `"type":"https://github.com/caddy-erpsync/caddy-erpsync/blob/main/docs/errors.md#` + name + `"`; !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s lacks %s", w.Body, want)
		}
	}
	for name := range sections {
		t.Errorf("the page has a section for %s, which is no reason", name)
	}
}

// grammar returns the grammar that UnmarshalCaddyfile's comment shows.
func grammar(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "from Caddyfile tokens:\n//\n")
	text, _, _ := strings.Cut(rest, "func (h *Handler)")
	text = strings.TrimSpace(strings.ReplaceAll("\n"+text, "\n//\t", "\n"))
	if text == "" {
		t.Fatal("UnmarshalCaddyfile's comment has no grammar")
	}
	return strings.ReplaceAll(text, "\n//\n", "\n\n")
}

func TestTheConfigurationPageHasTheGrammarAndARowForEveryOption(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	page, grammar := string(raw), grammar(t)
	if !strings.Contains(page, "```caddyfile\n"+grammar+"\n```") {
		t.Errorf("docs/configuration.md does not have the grammar of UnmarshalCaddyfile:\n%s", grammar)
	}
	sections := make(map[string]string)
	for section := range strings.SplitSeq(page, "\n## `") {
		name, text, _ := strings.Cut(section, "`\n")
		sections[name] = text
	}
	var blocks []string
	for line := range strings.Lines(grammar) {
		line = strings.TrimSpace(line)
		if line == "}" {
			blocks = blocks[:len(blocks)-1]
			continue
		}
		if line == "" || line == "..." {
			continue
		}
		text, opens := strings.CutSuffix(line, "{")
		option, argument, _ := strings.Cut(strings.TrimSpace(text), " ")
		argument = strings.TrimSpace(argument)
		if opens {
			argument = strings.TrimSpace(argument + " { … }")
		}
		if len(blocks) > 0 {
			block, cell := blocks[len(blocks)-1], "none"
			if argument != "" {
				cell = "`" + strings.ReplaceAll(argument, "|", `\|`) + "`"
			}
			if row := "\n| `" + option + "` | " + cell + " | "; !strings.Contains(sections[block], row) {
				t.Errorf("section %s of docs/configuration.md lacks a row that begins %q", block, row)
			}
		}
		if opens {
			blocks = append(blocks, option)
		}
	}
}

func TestEveryFileThatTheTourNamesExists(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/_*]+\\.go)`").FindAllStringSubmatch(string(raw), -1)
	if len(named) < 15 {
		t.Errorf("only %d files are named", len(named))
	}
	for _, name := range named {
		here, _ := filepath.Glob(name[1])
		inCore, _ := filepath.Glob("gateway/" + name[1])
		if len(here)+len(inCore) == 0 {
			t.Errorf("%s does not exist", name[1])
		}
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

func TestEveryLinkOfTheDocsLeadsToAFile(t *testing.T) {
	t.Parallel()
	pages := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		raw, err := os.ReadFile(filepath.Clean(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#: ]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(raw), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s links to %s", page, link[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links", links)
	}
}
