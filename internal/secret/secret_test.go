package secret

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// goodSecret is 40 bytes, so that it is taken for a key too.
const goodSecret = "0123456789abcdef0123456789abcdef01234567"

func utf16LE(text string) string {
	raw := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return string(raw)
}

// spellings are secrets of one value as people save them, with what is said of them; "" for one that is taken.
var spellings = []struct{ name, content, says string }{
	{"plain", goodSecret, ""},
	{"a final newline", goodSecret + "\n", ""},
	{"a final newline of Windows", goodSecret + "\r\n", ""},
	{"a byte order mark", "\ufeff" + goodSecret, "begins with a byte order mark; save it as plain text (UTF-8 without BOM)"},
	{"UTF-16 (Notepad, PowerShell's >)", utf16LE(goodSecret), "is saved as UTF-16; save it as plain text (UTF-8)"},
	{"double quotes", `"` + goodSecret + `"` + "\n", "is in quotes, which would be part of the value; remove them"},
	{"single quotes", "'" + goodSecret + "'", "is in quotes, which would be part of the value; remove them"},
	{"a second line", goodSecret + "\nold: x\n", "has more than one line; keep the value alone, on one line"},
	{"an empty second line", goodSecret + "\n\n", "has more than one line; keep the value alone, on one line"},
	{"a space at its end", goodSecret + " \n", "begins or ends with a space; remove it"},
	{"a zero-width space", goodSecret[:9] + "\u200b" + goodSecret[9:], "holds an invisible character; type or copy it anew"},
	{"no text", "\xe6\xf8\xe5" + goodSecret, "is no text in UTF-8; save it as plain text"},
	{"a newline alone", "\n", "is empty"},
}

// TestASecretIsJudgedAsPeopleSaveItWhereverItComesFrom logs the table secrets × spelling × message.
func TestASecretIsJudgedAsPeopleSaveItWhereverItComesFrom(t *testing.T) {
	dir := t.TempDir()
	for _, s := range spellings {
		path := filepath.Join(dir, strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r
			}
			return '-'
		}, s.name))
		write(t, path, s.content)
		sources := map[string]struct{ raw, place string }{"file": {"{file." + path + "}", "file " + path}, "text": {s.content, "the value"}}
		if !strings.Contains(s.content, "\x00") { // which no variable can hold
			t.Setenv("ERPSYNC_TEST_SECRET", s.content)
			sources["variable"] = struct{ raw, place string }{"{env.ERPSYNC_TEST_SECRET}", "{env.ERPSYNC_TEST_SECRET}"}
		}
		for source, from := range sources {
			got, err := Open("client_secret", from.raw, zap.NewNop())
			switch {
			case s.says == "" && (err != nil || got.Get().Reveal() != goodSecret):
				t.Errorf("%s in a %s: %v", s.name, source, err)
			case s.says != "" && (err == nil || err.Error() != "client_secret: "+from.place+" "+s.says):
				t.Errorf("%s in a %s: %v", s.name, source, err)
			case err != nil && strings.Contains(err.Error(), goodSecret):
				t.Errorf("%s: the error holds the secret", s.name)
			}
		}
		if s.says == "" {
			s.says = "taken"
		}
		t.Logf("| %s | %s |", s.name, s.says)
	}
}

func TestAFileOfASecretThatCannotBeReadSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/closed", goodSecret)
	if err := os.Chmod(dir+"/closed", 0); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"{file." + dir + "/none}": "keys: file " + dir + "/none: no such file or directory",
		"{file." + dir + "}":      "keys: file " + dir + ": is a directory",
	}
	if file, err := os.Open(filepath.Clean(dir + "/closed")); err != nil {
		cases["{file."+dir+"/closed}"] = "keys: file " + dir + "/closed: permission denied; let the user that Caddy runs as read it"
	} else {
		file.Close() // root, to whom nothing is closed
	}
	for raw, want := range cases {
		if _, err := Open("keys", raw, zap.NewNop()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestASecretThatIsAPathIsWarnedOfAndASecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/secret", goodSecret)
	for raw, want := range map[string]string{
		dir + "/secret":   "secret looks like a path and is taken as it stands; to read the file, write {file." + dir + "/secret}",
		dir + "/mistyped": "secret looks like a path and is taken as it stands; to read the file, write {file." + dir + "/mistyped}",
		"/aB3d/efG7==":    "secret written in plain text; use {file./path} or {env.NAME}",
		"/" + goodSecret:  "secret written in plain text; use {file./path} or {env.NAME}",
		"{env.HOME}":      "",
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		if _, err := Open("client_secret", raw, zap.New(core)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, entry := range logs.All() {
			got += entry.Message
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestASecretThatIsReplacedByABrokenOneKeepsItsLastValueAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/secret"
	write(t, path, goodSecret)
	core, logs := observer.New(zapcore.WarnLevel)
	s, err := Open("client_secret", "{file."+path+"}", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "\ufeff"+goodSecret)
	for range 2 {
		if got := s.Reload().Reveal(); got != goodSecret {
			t.Errorf("%q", got)
		}
	}
	if said := logs.FilterMessage("reading a secret again failed; keeping the last valid value").All(); len(said) != 1 || !strings.Contains(said[0].ContextMap()["error"].(string), "byte order mark") {
		t.Errorf("%v", said)
	}
	write(t, path, "another-"+goodSecret+"\n")
	if got := s.Reload().Reveal(); got != "another-"+goodSecret {
		t.Errorf("%q", got)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A path without a root is right in one folder and wrong in every other.
func TestAFileThatIsNotThereIsToldWithTheFolderInWhichCaddyWasStarted(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]string{
		"./secrets/none":  "file ./secrets/none: no such file or directory; Caddy was started in " + dir,
		dir + "/none":     "file " + dir + "/none: no such file or directory",
		dir + "/none/one": "file " + dir + "/none/one: no such file or directory",
	} {
		if _, err := Open("o", "{file."+path+"}", zap.NewNop()); err == nil || !strings.Contains(err.Error(), want) || strings.HasPrefix(want, "file "+dir) && strings.Contains(err.Error(), "started") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
