package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// sharing is two gateways that share a history in PostgreSQL.
type sharing struct {
	*cluster
	postgres *postgrestest.Server
	db       *sql.DB
}

func newSharing(t *testing.T) *sharing {
	t.Helper()
	s := &sharing{postgres: postgrestest.Start(t)}
	address := s.postgres.Database(t, "history")
	t.Setenv("ERPSYNC_HISTORY", address)
	var err error
	if s.db, err = sql.Open("pgx", address+"&search_path=erpsync"); err != nil {
		t.Fatal(err)
	}
	s.db.SetMaxIdleConns(0) // none that is dead
	t.Cleanup(func() { _ = s.db.Close() })
	redis := redistest.StartSentinel(t, "erpsync", "canary-redis-password")
	s.cluster = newClusterOn(t, redis.Address, func(example string) string {
		return strings.NewReplacer(
			"\n\t\tstore redis {", "\n\t\t"+unguarded+"\n\t\tstore redis {\n\t\t\ttimeout 5s",
			"\t\toperators unix", "\t\thistory postgres {\n\t\t\tdsn {env.ERPSYNC_HISTORY}\n\t\t\ttimeout 30s\n\t\t}\n\t\toperators unix",
		).Replace(example)
	})
	return s
}

// rows returns how many calls there are, how many of them are not over, and how many are unknown.
func (s *sharing) rows() (all, open, unknown int) {
	s.t.Helper()
	if err := s.db.QueryRowContext(s.t.Context(), "SELECT count(*), count(*) FILTER (WHERE ended IS NULL), count(*) FILTER (WHERE outcome_cause = 'no_end') FROM calls").Scan(&all, &open, &unknown); err != nil {
		s.t.Fatal(err)
	}
	return all, open, unknown
}

func (s *sharing) failing(at *process) (keys int) {
	s.t.Helper()
	var answer report.Failures
	if err := json.Unmarshal([]byte((&site{runDir: at.dir}).ask(s.t, s.binary, "failures", "--json")), &answer); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range answer.Failures {
		keys += f.Keys
	}
	return keys
}

// again starts a gateway that was killed.
func (s *sharing) again(p *process) {
	s.t.Helper()
	p.cmd = exec.Command(s.binary, "run", "--config", s.config) //nolint:gosec // just built
	p.cmd.Env = s.environment(p)
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, func() bool {
		resp, err := http.Get(p.url + "/erpsync/session") //nolint:noctx // loopback
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// A failure at one gateway is told by the other and cured there; one that is killed in the middle of 200 calls leaves those
// unknown that were not over, and none is lost that had a row.
func TestTwoGatewaysShareAHistory(t *testing.T) {
	s := newSharing(t)
	one, other, caller := s.gateways[0], s.gateways[1], s.service()
	answer := func(body string) {
		s.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Body: body} })
	}
	const failed, cured = `{"IsOk":false,"Status":"Error","ErrorCode":"E1"}`, `{"IsOk":true,"Status":"Ok"}`
	answer(failed)
	s.send(one, http.MethodPost, resync, caller, `{"ErpConnectionId":612,"InternalKeyIds":[1,2]}`)
	eventually(t, func() bool { return s.failing(other) == 2 })
	answer(cured)
	s.send(other, http.MethodPost, resync, caller, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`)
	eventually(t, func() bool { return s.failing(one) == 1 })

	held := make(chan struct{})
	var release sync.Once
	t.Cleanup(func() { release.Do(func() { close(held) }) })
	var asked atomic.Int64
	s.so.Answer(func(string, int) *sandbox.Answer {
		if asked.Add(1)%2 == 0 {
			return &sandbox.Answer{Hold: held, Body: cured}
		}
		return &sandbox.Answer{Body: cured}
	})
	var callers sync.WaitGroup
	for key := range 200 {
		callers.Go(func() {
			s.send(one, http.MethodPost, resync, caller, fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[%d]}`, 1000+key))
		})
	}
	var before, open int
	eventually(t, func() bool { before, open, _ = s.rows(); return before == 202 && open == 100 })
	one.kill()
	callers.Wait()
	s.again(one)
	var after, unknown int
	eventually(t, func() bool { after, open, unknown = s.rows(); return open == 0 })
	if after != before || unknown != 100 || s.failing(other) != 1+100 {
		t.Errorf("%d rows before, %d after, %d unknown, %d keys fail", before, after, unknown, s.failing(other))
	}
	t.Logf("killed in the middle of 200 calls: %d rows before, %d after, %d unknown, %d lost", before, after, unknown, before-after)
}
