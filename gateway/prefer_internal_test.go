package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPreferIsReadAsItsStandardHasIt(t *testing.T) {
	t.Parallel()
	async := preferences{async: true}
	waiting := func(seconds int) preferences {
		return preferences{async: true, wait: time.Duration(seconds) * time.Second}
	}
	for name, c := range map[string]struct {
		lines []string
		want  preferences
	}{
		"none":                     {nil, preferences{}},
		"respond-async":            {[]string{"respond-async"}, async},
		"any case":                 {[]string{"Respond-ASYNC, WAIT=20"}, waiting(20)},
		"with wait":                {[]string{"respond-async, wait=20"}, waiting(20)},
		"two lines":                {[]string{"wait=20", "respond-async"}, waiting(20)},
		"with parameters":          {[]string{`respond-async; foo="a, b;c"; bar ,wait=5;x`}, waiting(5)},
		"empty parameters":         {[]string{"respond-async;;, wait=5;"}, waiting(5)},
		"blanks at the equals":     {[]string{"respond-async, wait = 5"}, waiting(5)},
		"a quoted value":           {[]string{`respond-async, wait="5"`}, waiting(5)},
		"an escaped quoted value":  {[]string{`respond-async, wait="\5"`}, waiting(5)},
		"empty elements":           {[]string{" ,, respond-async ,", ""}, async},
		"an empty value is none":   {[]string{`respond-async=""`}, async},
		"a quote open to the end":  {[]string{`return=minimal, odata.continue-on-error, respond-async, handling=lenient; "`, ""}, preferences{}},
		"others beside it":         {[]string{"return=minimal, odata.continue-on-error, respond-async, handling=lenient"}, async},
		"the first wait counts":    {[]string{"respond-async, wait=5, wait=50"}, waiting(5)},
		"the first is no number":   {[]string{"respond-async, wait=soon, wait=50"}, async},
		"the first async counts":   {[]string{"respond-async=no, respond-async"}, preferences{}},
		"a value that it has not":  {[]string{"respond-async=true"}, preferences{}},
		"wait alone":               {[]string{"wait=10"}, preferences{wait: 10 * time.Second}},
		"wait for nothing":         {[]string{"respond-async, wait=0"}, async},
		"wait below nothing":       {[]string{"respond-async, wait=-5"}, async},
		"wait beyond the bound":    {[]string{"respond-async, wait=3600"}, waiting(60)},
		"wait beyond every number": {[]string{"respond-async, wait=" + strings.Repeat("9", 40)}, waiting(60)},
		"a longer word":            {[]string{"respond-asynchronously"}, preferences{}},
		"a word within":            {[]string{`foo="respond-async"`}, preferences{}},
		"an open quote":            {[]string{`respond-async, foo="bar`}, preferences{}},
		"no comma":                 {[]string{"respond-async wait=20"}, preferences{}},
		"a bare equals":            {[]string{"respond-async, wait="}, preferences{}},
		"a control character":      {[]string{"respond-async, foo=\"\x01\""}, preferences{}},
		"too long":                 {[]string{"respond-async, foo=" + strings.Repeat("x", maxPrefer)}, preferences{}},
	} {
		if got := readPreferences(c.lines); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"respond-async, wait=20", `respond-async; a="b\"c", wait="5"`, "wait=1,\nrespond-async", ";,=", `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		lines := strings.Split(raw, "\n")
		got := readPreferences(lines)
		if got.wait < 0 || got.wait > maxPreferredWait || got.wait%time.Second != 0 {
			t.Errorf("%q waits %s", raw, got.wait)
		}
		if got.async && !strings.Contains(strings.ToLower(raw), "respond-async") {
			t.Errorf("%q is asynchronous", raw)
		}
		// What is applied is written so that it is read as the same.
		if got != (preferences{}) {
			if again := readPreferences(http.Header{"A": got.applied()}["A"]); again != got {
				t.Errorf("%q: %+v was applied, %+v is read of it", raw, got, again)
			}
		}
	})
}
