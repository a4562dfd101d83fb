package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestASwitchIsSetByNameAndReadBack(t *testing.T) {
	t.Parallel()
	for _, info := range sandbox.AllSwitches() {
		for _, value := range info.Values {
			var s, again sandbox.Switches
			if err := s.Set(info.Name, value); err != nil {
				t.Errorf("%s=%s: %v", info.Name, value, err)
			}
			// "null" is a text here and not JSON's null, which is the default.
			if err := json.Unmarshal(fmt.Appendf(nil, `{%q:%q}`, info.Name, value), &again); err != nil || again != s {
				t.Errorf("%s=%s is another switch in JSON: %v", info.Name, value, err)
			}
		}
		value := map[string]string{"bool": "true", "number": "3", "duration": "42s", "text": "per"}[info.Kind]
		if info.Kind == "choice" {
			value = info.Values[len(info.Values)-1]
		}
		var s sandbox.Switches
		if err := s.Set(info.Name, value); err != nil {
			t.Errorf("%s=%s: %v", info.Name, value, err)
			continue
		}
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var shown map[string]any
		if err := json.Unmarshal(raw, &shown); err != nil || fmt.Sprint(shown[info.Name]) != value || len(shown) != len(sandbox.AllSwitches()) {
			t.Errorf("%s=%s is shown as %v: %v", info.Name, value, shown[info.Name], err)
		}
		var again sandbox.Switches
		if err := json.Unmarshal(raw, &again); err != nil || again != s {
			t.Errorf("%s does not survive JSON: %v", info.Name, err)
		}
		if err := s.Set(info.Name, info.Default); err != nil || s != (sandbox.Switches{}) {
			t.Errorf("%s=%s is not the default: %v", info.Name, info.Default, err)
		}
	}
}

func TestASwitchThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"pcke", "ignored", `unknown switch "pcke"; there are pkce, nonce`},
		{"pkce", "maybe", `switch pkce: "maybe" is none of checked, ignored, required, refused`},
		{"erp_duration", "60", `switch erp_duration: invalid duration "60"`},
		{"erp_duration", "-1s", `switch erp_duration: invalid duration "-1s"`},
		{"fault_times", "x", `switch fault_times: invalid number "x"`},
		{"fault_times", "-1", `switch fault_times: invalid number "-1"`},
		{"numeric_iat", "perhaps", `switch numeric_iat: "perhaps" is neither true nor false`},
	} {
		var s sandbox.Switches
		if err := s.Set(c.name, c.value); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	if _, err := sandbox.New("http://127.0.0.1:1", sandbox.WithSwitches(sandbox.Switches{PKCE: "maybe"})); err == nil {
		t.Error("a sandbox began with one")
	}
	o := newOffice(t)
	for name, change := range map[string]func(*sandbox.Switches){
		"a choice": func(s *sandbox.Switches) { s.Outcome = "okay" }, "a duration": func(s *sandbox.Switches) { s.AccessLifetime = -time.Second },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a test's mistake went unnoticed", name)
				}
			}()
			o.Switch(change)
		}()
	}
	if o.Switches() != (sandbox.Switches{}) {
		t.Error("a refused change was made")
	}
}

// TestTheDocsListEverySwitchAsItIs keeps docs/sandbox.md and Switches equal.
func TestTheDocsListEverySwitchAsItIs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*?) \\| (.*?) \\| (.+?) \\| (.+?) \\|$").FindAllStringSubmatch(string(raw), -1)
	documented := map[string][]string{}
	for _, row := range rows {
		if documented[row[1]] != nil {
			t.Errorf("%s stands twice", row[1])
		}
		documented[row[1]] = row
	}
	for _, info := range sandbox.AllSwitches() {
		row := documented[info.Name]
		if row == nil {
			t.Errorf("no row for %s", info.Name)
			continue
		}
		delete(documented, info.Name)
		values := info.Kind
		if info.Kind == "choice" {
			values = "`" + strings.Join(info.Values, "` `") + "`"
		}
		initial := "`" + info.Default + "`"
		if info.Default == "" {
			initial = "none"
		}
		if row[2] != values || row[3] != initial {
			t.Errorf("%s: the table says %s, default %s; the sandbox %s, default %s", info.Name, row[2], row[3], values, initial)
		}
	}
	for name := range documented {
		t.Errorf("the table has %s, which there is not", name)
	}
}
