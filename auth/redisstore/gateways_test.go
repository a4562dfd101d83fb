package redisstore

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

func TestRedisListsTheGatewaysOfItsPrefixByItsOwnClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b, other := open(t, server, "p").Gateways, open(t, server, "p").Gateways, open(t, server, "q").Gateways
	ctx := t.Context()
	want := roster.Gateway{ID: "1", Node: "n", Version: "v1", Revision: "abc", Started: time.Now().Add(-time.Hour).UTC().Truncate(time.Second)}
	for _, g := range []roster.Gateway{want, {ID: "2"}} {
		if err := a.Note(ctx, g, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Note(ctx, roster.Gateway{ID: "3"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	all, err := b.Gateways(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, g := range all {
		if g.Seen.IsZero() || g.Silent < 0 || g.Silent > time.Hour {
			t.Errorf("%+v", g)
		}
		if g.Seen, g.Silent = (time.Time{}), 0; g.ID == "1" && g != want {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	if err := b.Forget(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	// The one that is silent for longer than it is kept goes when another notes itself.
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := a.Note(ctx, roster.Gateway{ID: "4"}, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		_ = a.Note(ctx, roster.Gateway{ID: "4"}, time.Hour)
		if all, err = a.Gateways(ctx); err == nil && len(all) == 1 && all[0].ID == "4" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v %v", all, err)
		}
	}
	server.Kill()
	if all, err := a.Gateways(ctx); err == nil || all != nil {
		t.Errorf("without Redis: %+v %v", all, err)
	}
}

func TestAnEntryThatNoGatewayWroteIsNone(t *testing.T) {
	t.Parallel()
	found := parseGateways([]string{"5000", `4000 {"id":"1"}`, `x {"id":"2"}`, `4000 {`, `4000 {}`, "", `9000 {"id":"3"}`})
	if len(found) != 2 || found[0].ID != "1" || found[0].Silent != time.Second || found[1].ID != "3" || found[1].Silent != 0 {
		t.Errorf("%+v", found)
	}
	if parseGateways(nil) != nil || parseGateways([]string{"x", `1 {"id":"1"}`}) != nil {
		t.Error("an answer without a time lists somebody")
	}
}
