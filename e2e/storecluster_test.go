//go:build outage && unix

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// TestAClusterThatChangesIsNeitherLostNorEndless moves the slot that holds everything, and kills its master, while callers call.
func TestAClusterThatChangesIsNeitherLostNorEndless(t *testing.T) {
	store := redistest.StartCluster(t, 3, true)
	o := &outage{runs: newRuns()}
	o.cluster = newClusterOn(t, strings.Join(store.Addresses(), " "), func(example string) string {
		example = strings.Replace(example, "\n\t\tstore redis {", "\n\t\t"+unguarded+"\n\t\tstore redis {", 1)
		example = strings.Replace(example, "\t\t\tsentinel erpsync\n", "\t\t\tcluster\n", 1)
		return strings.Replace(example, "\t\t\tpassword {file.{$ERPSYNC_SECRETS:/run/secrets}/redis.password}\n", "", 1)
	})
	o.fault(o.runs.watch(o.so))
	o.person = o.signIn("tove")
	defer o.print()
	ours := ""
	for _, master := range store.Masters {
		keys, err := store.Client(master).Keys(t.Context(), "{erpsync*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) > 0 {
			ours, _, _ = strings.Cut(keys[0], "}")
			ours += "}"
		}
	}
	const many = 20_000 // keys that move beside ours, as of five thousand people
	client := store.Client(store.Masters[store.Holder(ours)])
	for i := range many {
		if err := client.Set(t.Context(), fmt.Sprint(ours, "x", i), strings.Repeat("x", 300), time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if r := o.live("nothing", func() {}, func() {}); r.lost+r.doubled+r.services+r.people+r.keyed > 0 {
		t.Errorf("%+v", r)
	}
	var took time.Duration
	r := o.live("the Cluster's slot moves", func() {
		began, move := time.Now(), store.BeginMove(ours)
		move.End()
		took = time.Since(began)
	}, func() {})
	t.Logf("the slot moved in %s", took)
	if r.lost > 0 || r.services > 0 || r.slowest > 10*time.Second {
		t.Errorf("%+v", r)
	}
	r = o.live("the Cluster's slot stays halfway", func() {
		move := store.BeginMove(ours)
		move.Keys(200)
		go func() {
			time.Sleep(broken / 2)
			move.End()
		}()
	}, func() {})
	if r.lost > 0 || r.services > 0 || r.slowest > 10*time.Second {
		t.Errorf("%+v", r)
	}
	r = o.live("the Cluster's master is killed", func() { store.KillMaster(ours) }, func() {})
	if r.lost > 0 || r.services > 0 || r.slowest > 10*time.Second {
		t.Errorf("%+v", r)
	}
	if _, err := store.Client(store.Replicas[0]).Ping(context.Background()).Result(); err != nil {
		t.Error(err)
	}
}
