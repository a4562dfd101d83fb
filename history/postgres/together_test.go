package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// gateways opens a place for several of them.
func gateways(t *testing.T, p *place, n int) (all []*historytest.Store) {
	t.Helper()
	for i := range n {
		all = append(all, (&historytest.At{Place: p}).Open(t, history.Gateway{Node: fmt.Sprint(i), Started: time.Now()}))
	}
	return all
}

// A failure and the success that cures it are written by two gateways in the same moment, in groups of many tenants: neither
// sees the other's row until it is committed.
func TestAFailureAndItsCureAreWrittenByTwoGatewaysAtOnce(t *testing.T) {
	t.Parallel()
	all, c := gateways(t, newPlace(t), 2), historytest.NewCalls()
	for round := range 60 {
		var failed, cured []history.Row
		for tenant := range 5 {
			f, s := c.Call(superoffice.ForceResync, outcome.Error, 612, round), c.Call(superoffice.ForceResync, outcome.OK, 612, round)
			f.Tenant = fmt.Sprintf("Cust%d", tenant)
			s.Tenant = f.Tenant
			failed, cured = append(failed, f), append(cured, s)
		}
		slices.Reverse(cured) // so that both take their locks in another order than they have their rows
		var both sync.WaitGroup
		for i, rows := range [][]history.Row{failed, cured} {
			both.Go(func() {
				if err := all[i].Write(t.Context(), rows); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	if left := historytest.Failing(t, all[0]); len(left) > 0 {
		t.Errorf("%d keys fail that were cured: %s", len(left), left[0])
	}
}

// Calls of all kinds are written by three gateways at once, in any order and some of them by two; what fails is what fails
// when one gateway writes them one after the other. Heartbeats, trims and closings go on meanwhile.
func TestWhatFailsIsTheSameWhicheverGatewayWritesWhat(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // no secret
	operations := []superoffice.Operation{superoffice.ForceResync, superoffice.ForceResync, superoffice.ForceResyncNoBlankValues, superoffice.ForceResyncBatchTask}
	classes := []outcome.Class{outcome.OK, outcome.Info, outcome.Error, outcome.Fault, outcome.Unknown, outcome.Accepted}
	c, rows := historytest.NewCalls(), []history.Row(nil)
	for range 600 {
		var keys []any
		for range random.IntN(4) {
			keys = append(keys, random.IntN(5))
		}
		r := c.Call(operations[random.IntN(len(operations))], classes[random.IntN(len(classes))], int32(random.IntN(2)), keys...)
		r.Tenant = fmt.Sprintf("Cust%d", random.IntN(3))
		r.Ended = r.Ended.Add(time.Duration(random.IntN(5))*time.Minute + time.Duration(c.N)*time.Millisecond)
		rows = append(rows, r)
	}
	one := gateways(t, newPlace(t), 1)[0]
	historytest.Write(t, one, rows...)
	want := historytest.Failing(t, one)
	all := gateways(t, newPlace(t), 3)
	var writing sync.WaitGroup
	for i, s := range all {
		mine := slices.Clone(rows)
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		writing.Go(func() {
			for len(mine) > 0 {
				n := min(len(mine), 1+i*7)
				if _, err := s.Import(t.Context(), mine[:n]); err != nil {
					t.Error(err)
					return
				}
				mine = mine[n:]
				if n%2 == 1 {
					if err := s.Beat(t.Context(), time.Now()); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.Trim(t.Context(), time.Now(), history.Retention{Keep: 1000 * time.Hour}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if got := historytest.Failing(t, all[0]); !slices.Equal(got, want) {
		t.Errorf("one gateway:\n%s\nthree:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	if n := historytest.Count(t, all[0]); n != len(rows) {
		t.Errorf("%d rows of %d calls", n, len(rows))
	}
	historytest.SameUsage(t, all[0])
}

// One gateway makes calls unknown while their own one writes their ends.
func TestAnEndThatComesWhileItsCallIsGivenUpIsTaken(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	all, c := gateways(t, p, 2), historytest.NewCalls()
	for range 30 {
		end := c.Call(superoffice.ForceResync, outcome.OK, 612, c.N)
		began := end
		began.Ended, began.Outcome = time.Time{}, ""
		historytest.Write(t, all[0], began)
		exec(t, p, "UPDATE gateways SET seen = 0 WHERE run = (SELECT min(run) FROM gateways)")
		var both sync.WaitGroup
		both.Go(func() {
			if err := all[0].Write(t.Context(), []history.Row{end}); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := all[1].Beat(t.Context(), time.Now()); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if got := historytest.Became(t, all[0], end.RequestID); got != "ok" {
			t.Fatalf("the call is %q", got)
		}
	}
	if left := historytest.Failing(t, all[0]); len(left) > 0 {
		t.Errorf("%v", left)
	}
}

func TestATransactionThatAnotherWasInTheWayOfIsRunAgain(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPlace(t), historytest.ThisNode)
	for _, code := range []string{serializationFailure, deadlock, lockTimeout} {
		runs := 0
		if err := s.Change(t.Context(), func(tx *sqlstore.Tx) error {
			if runs++; runs < 3 {
				_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '" + code + "'; END $$")
				return err
			}
			return nil
		}); err != nil || runs != 3 {
			t.Errorf("%s: %d runs, %v", code, runs, err)
		}
	}
}

func TestAServersErrorIsToldWithoutWhatItQuotes(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPlace(t), historytest.ThisNode)
	for code, never := range map[string]bool{
		"22021": true, "22P05": true, "23505": true, "54000": true, // the row's own
		"42601": false, "42703": false, "42501": false, // ours, or the administrator's
		"53100": false, "53300": false, "25006": false, "57P01": false, "58030": false, "57014": false,
	} {
		err := s.Change(t.Context(), func(tx *sqlstore.Tx) error {
			_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION 'key (canary)' USING ERRCODE = '" + code + "', DETAIL = 'canary', HINT = 'canary'; END $$")
			return err
		})
		quotes := strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") || code == "42601" || code == "42703" || code == "54000"
		if err == nil || errors.Is(err, history.ErrNeverWritten) != never || !strings.Contains(err.Error(), code) || quotes && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", code, err)
		}
	}
	bad := *newPlaceOf(strings.Replace(newPlace(t).url, "of-tests-only", "canary", 1), "erpsync")
	if _, err := bad.open(t.Context(), historytest.ThisNode, patience); err == nil || errors.Is(err, history.ErrRefused) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("a wrong password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bad.open(ctx, historytest.ThisNode, patience); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOneGatewayTrimsForAll(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	all, now := gateways(t, p, 2), time.Now()
	rows := make([]history.Row, 0, 1000)
	for i := range 1000 {
		rows = append(rows, historytest.Over(historytest.Began(fmt.Sprint(i), now.Add(-100*time.Hour)), outcome.OK, 0))
	}
	historytest.Write(t, all[0], rows...)
	keep := history.Retention{Keep: time.Hour}
	if more, err := all[0].Trim(t.Context(), now, keep); err != nil || !more {
		t.Fatal(more, err)
	}
	before := historytest.Count(t, all[0])
	if more, err := all[1].Trim(t.Context(), now, keep); err != nil || more || historytest.Count(t, all[0]) != before {
		t.Errorf("another one trims as well: %v, %v", more, err)
	}
	exec(t, p, "UPDATE trimming SET until = clock_timestamp() - interval '1 second'") // it is gone
	if more, err := all[1].Trim(t.Context(), now, keep); err != nil || !more || historytest.Count(t, all[0]) == before {
		t.Errorf("the other one is gone: %v, %v", more, err)
	}
}

func TestTheSizeIsThatOfTheRowsWhichAreLeft(t *testing.T) {
	t.Parallel()
	p := newPlaceAt(t, postgrestest.Database(t), "erpsync") // VACUUM spares what a transaction of the same database may see
	s, now := gateways(t, p, 1)[0], time.Now()
	n, random := 0, rand.NewChaCha8([32]byte{1})
	fill := func() {
		t.Helper()
		rows := make([]history.Row, 0, 1500)
		for range 1500 {
			n++
			r := historytest.Over(historytest.Began(fmt.Sprintf("%06d", n), now.Add(time.Duration(n)*time.Second)), outcome.OK, 0)
			r.Keys = make([]byte, 1000)
			_, _ = random.Read(r.Keys) // so that nothing makes it smaller
			r.Understood = false
			rows = append(rows, r)
		}
		historytest.Write(t, s, rows...)
	}
	size := func() (bytes int64) {
		t.Helper()
		if err := p.db.QueryRowContext(t.Context(), "SELECT pg_total_relation_size('calls')").Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	fill()
	full := size()
	most := full / 2
	for range 4 {
		fill()
		historytest.Trim(t, s, now, history.Retention{MaxSize: most})
		left := historytest.Count(t, s)
		if left < 300 || left > 1000 || historytest.Became(t, s, fmt.Sprintf("%06d", n)) != "ok" || historytest.Became(t, s, "000001") != "" {
			t.Fatalf("%d rows are left where about 730 have room", left)
		}
		exec(t, p, "VACUUM calls") // autovacuum comes once a minute
	}
	// The room of removed rows is used again: the relation is as large as all that was there at once.
	if now := size(); now > 3*full {
		t.Errorf("%d bytes after %d rows, of which %d took %d", now, n, 1500, full)
	}
}

// A tenant is forgotten while another gateway writes its failures: what comes in between is told and can be cured, and nothing is
// left of which nobody knows what it is.
func TestATenantIsForgottenWhileItsCallsFail(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	all, c := gateways(t, p, 2), historytest.NewCalls()
	var both sync.WaitGroup
	done := make(chan struct{})
	both.Go(func() {
		defer close(done)
		for i := range 150 {
			historytest.Write(t, all[0], c.Call(superoffice.ForceResync, outcome.Error, 612, i))
		}
	})
	both.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := all[1].Forget(t.Context(), history.ForgetFilter{Tenant: "Cust12345"}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	both.Wait()
	var orphans int
	if err := p.db.QueryRowContext(t.Context(), "SELECT count(*) FROM failing k WHERE NOT EXISTS (SELECT 1 FROM failures f JOIN scopes s ON s.id = f.scope WHERE f.id = k.failure)").Scan(&orphans); err != nil || orphans > 0 {
		t.Errorf("%d keys without a group, %v", orphans, err)
	}
}
