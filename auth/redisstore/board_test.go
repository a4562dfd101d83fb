package redisstore

import (
	"fmt"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth/board"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// boardKeepsItsPromise tries a board out, over any kind of store.
func boardKeepsItsPromise(t *testing.T, b Board) {
	t.Helper()
	ctx := t.Context()
	if docs, next, more, lost, err := b.Since(ctx, board.Cursor{}); err != nil || len(docs) != 0 || more || lost || next.At != 0 {
		t.Fatalf("empty: %v %v %v %v %v", docs, next, more, lost, err)
	}
	put := func(name, text string, version int64) (int64, bool) {
		t.Helper()
		versions, written, err := b.Put(ctx, []board.Doc{{Name: name, Text: text, Version: version}})
		if err != nil || len(versions) != 1 {
			t.Fatal(versions, written, err)
		}
		return versions[0], written[0]
	}
	for _, c := range []struct {
		text    string
		over    int64
		version int64
		written bool
	}{{"a b", 0, 1, true}, {"late", 0, 1, false}, {"c", 1, 2, true}, {"far", 7, 2, false}} {
		if version, written := put("one", c.text, c.over); version != c.version || written != c.written {
			t.Errorf("%q over %d: %d %v", c.text, c.over, version, written)
		}
	}
	put("two", "", 0)
	docs, next, more, lost, err := b.Since(ctx, board.Cursor{})
	if err != nil || more || lost || len(docs) != 2 || docs[0] != (board.Doc{Name: "one", Text: "c", Version: 2}) || docs[1] != (board.Doc{Name: "two", Version: 1}) {
		t.Errorf("%+v %v %v %v", docs, more, lost, err)
	}
	put("one", "d", 2)
	if docs, _, _, _, err := b.Since(ctx, next); err != nil || len(docs) != 1 || docs[0].Text != "d" {
		t.Errorf("since: %+v %v", docs, err)
	}
	if err := b.Remove(ctx, "one"); err != nil {
		t.Error(err)
	}
	if docs, _, _, _, err := b.Since(ctx, board.Cursor{}); err != nil || len(docs) != 1 {
		t.Errorf("removed: %+v %v", docs, err)
	}
}

func TestABoardIsReadInPartsAndSaysThatItWasLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := open(t, server, "p").Board
	var docs []board.Doc
	for i := range board.Most + 1 {
		docs = append(docs, board.Doc{Name: fmt.Sprint(i), Text: "t"})
	}
	for _, part := range [][]board.Doc{docs[:board.Most], docs[board.Most:]} {
		if _, _, err := b.Put(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	first, next, more, _, err := b.Since(t.Context(), board.Cursor{})
	if err != nil || len(first) != board.Most || !more {
		t.Fatalf("%d %v %v", len(first), more, err)
	}
	rest, end, more, lost, err := b.Since(t.Context(), next)
	if err != nil || len(rest) != 1 || more || lost {
		t.Errorf("%d %v %v %v", len(rest), more, lost, err)
	}
	client := clientOf(t, server)
	client.FlushAll(t.Context())
	if _, next, _, lost, err := b.Since(t.Context(), end); err != nil || !lost || next != end {
		t.Errorf("empty again: %v %v %v", next, lost, err)
	}
	for _, part := range [][]board.Doc{docs[:board.Most], docs[board.Most:], {{Name: "more"}}} { // further than before
		if _, _, err := b.Put(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, lost, err := b.Since(t.Context(), end); err != nil || !lost {
		t.Errorf("filled anew: %v %v", lost, err)
	}
	server.Kill()
	if docs, _, _, _, err := b.Since(t.Context(), end); err == nil {
		t.Errorf("without Redis: %v", docs)
	}
}

func TestABoardKeepsTheNewest(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	if _, _, err := s.Board.Put(t.Context(), []board.Doc{{Name: "a"}, {Name: "b"}, {Name: "c"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(t.Context(), putBoardScript, s.Board.keys(), 60_000, 2, "id", "d", 0, "t").Int64Slice(); err != nil {
		t.Fatal(err)
	}
	docs, _, _, _, err := s.Board.Since(t.Context(), board.Cursor{})
	if err != nil || len(docs) != 2 || docs[0].Name != "c" || docs[1].Name != "d" {
		t.Errorf("%+v %v", docs, err)
	}
	for _, values := range [][]string{nil, {"id"}, {"id", "x"}, {"id", "1", "n", "x", "1 t"}, {"id", "1", "n"}} {
		if docs, _, _, _, err := parseSince(values, board.Cursor{}); err == nil {
			t.Errorf("%q: %+v", values, docs)
		}
	}
	if docs, _, _, _, err := parseSince([]string{"id", "2", "n", "1", "", "m", "2", "x y"}, board.Cursor{}); err != nil || len(docs) != 0 {
		t.Errorf("what no gateway wrote: %+v %v", docs, err)
	}
}
