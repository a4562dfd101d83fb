package sqlstore

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

func TestATextIsMadeOneThatEveryDatabaseTakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "Ålesund": "Ålesund", "a\x00b": "a\uFFFDb", "a\xff\xfeb": "a\uFFFDb", "\xc3": "\uFFFD"} {
		if got := clean(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	given := []history.Row{{RequestID: "good"}, {RequestID: "bad", ErrorCode: "x\x00"}}
	rows := cleaned(given)
	if rows[1].ErrorCode != "x\uFFFD" || given[1].ErrorCode != "x\x00" || rows[0].RequestID != "good" {
		t.Errorf("%+v, of %+v", rows, given)
	}
	if good := given[:1]; &cleaned(good)[0] != &good[0] {
		t.Error("rows that are good were copied")
	}
}

func TestALongTextIsShortenedForAnIndexAndDiffersStill(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("å", maxIndexed)
	one, other := short(long), short(long+"x")
	if one == other || len(one) > maxIndexed || !utf8.ValidString(one) || short("E1") != "E1" {
		t.Errorf("%q, %q", one, other)
	}
}
