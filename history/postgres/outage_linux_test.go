package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/historytest"
	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// caller makes calls of a gateway whose history is in a place.
type caller struct {
	t        *testing.T
	journal  *history.Journal
	recorder outcome.Recorder
	calls    int
}

// short is the timeout of a gateway in these tests.
const short = time.Second

func newCaller(t *testing.T, p *place) *caller {
	t.Helper()
	c := &caller{t: t, journal: history.New("this", zap.NewNop())}
	if err := c.journal.Open(t.Context(), historytest.Opener(func(ctx context.Context, gateway history.Gateway) (history.Store, error) {
		return p.open(ctx, gateway, short)
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.journal.Close)
	c.recorder = c.journal.Recorder("online")
	return c
}

// call makes a call that fails, of a key of its own.
func (c *caller) call() {
	c.calls++
	record := &outcome.Record{
		RequestID: fmt.Sprint(c.calls), Node: "this", Proved: true, Started: time.Now(), Tenant: "Cust1", Operation: superoffice.ForceResync, Understood: true, Began: true,
		Arguments: superoffice.Arguments{Connection: 612, Keys: []int32{int32(c.calls)}}, //nolint:gosec // few
	}
	c.recorder.Began(record)
	record.Decision, record.Sends, record.Outcome = "allowed", 1, outcome.Outcome{Class: outcome.Error, ErrorCode: "E1"}
	c.recorder.Ended(record)
}

// until makes calls until something holds.
func (c *caller) until(what string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not %s: %+v", what, c.journal.Health())
		}
		if c.calls < 3000 { // the queue has room for twice as many rows
			c.call()
		}
	}
}

func (c *caller) fails() bool   { return !c.journal.Health().Fails.IsZero() }
func (c *caller) written() bool { return c.journal.Queued() == 0 && !c.fails() }

// settled waits until all rows are written.
func (c *caller) settled() {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !c.written(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d rows wait: %+v", c.journal.Queued(), c.journal.Health())
		}
	}
}

// check looks at what is there: each call once, with its end, and none of them counted twice.
func (c *caller) check(p *place) {
	c.t.Helper()
	c.settled()
	if h := c.journal.Health(); h.Lost > 0 {
		c.t.Errorf("%d rows are lost", h.Lost)
	}
	var rows, ended, tries, keys int
	if err := p.db.QueryRowContext(c.t.Context(), "SELECT (SELECT count(*) FROM calls), (SELECT count(ended) FROM calls), (SELECT sum(tries) FROM failures), (SELECT count(*) FROM failing)").Scan(&rows, &ended, &tries, &keys); err != nil {
		c.t.Fatal(err)
	}
	if rows != c.calls || ended != c.calls || tries != c.calls || keys != c.calls {
		c.t.Errorf("of %d calls there are %d rows, %d with their end, %d tries, %d keys", c.calls, rows, ended, tries, keys)
	}
	c.t.Logf("%d calls, %d rows, %d lost", c.calls, rows, c.journal.Health().Lost)
}

// TestNoTroubleOfTheServerLosesOrDoublesARow breaks a server in every way that a test can, one after the other.
func TestNoTroubleOfTheServerLosesOrDoublesARow(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t, "max_connections=8", "superuser_reserved_connections=3")
	admin := server.Database(t, "history")
	p := newPlaceAt(t, admin, "erpsync")
	p.db.SetMaxIdleConns(0) // none that is dead
	exec(t, p, "CREATE ROLE erpsync LOGIN PASSWORD 'p'")
	exec(t, p, "CREATE SCHEMA erpsync AUTHORIZATION erpsync")
	p.url = server.URL("erpsync", "p", "history")
	server.Kill()
	c := newCaller(t, p) // a gateway starts without it
	c.call()
	server.Run(t)
	c.check(p)
	setting := func(text string) {
		t.Helper()
		exec(t, p, "ALTER SYSTEM "+text)
		exec(t, p, "SELECT pg_reload_conf()")
	}
	for _, trouble := range []struct {
		name        string
		begin, over func()
	}{
		{"killed", server.Kill, func() { server.Run(t) }},
		{"stopped", server.Stop, func() { server.Run(t) }},
		{"silent", server.Freeze, server.Thaw},
		{"read-only", func() { setting("SET default_transaction_read_only = on"); terminate(t, p) }, func() {
			exec(t, p, "SET default_transaction_read_only = off")
			setting("RESET default_transaction_read_only")
		}},
		{"without a connection to spare", func() {
			exec(t, p, "ALTER ROLE erpsync CONNECTION LIMIT 0")
			terminate(t, p)
		}, func() { exec(t, p, "ALTER ROLE erpsync CONNECTION LIMIT -1") }},
		{"without the right", func() { exec(t, p, "REVOKE INSERT ON calls FROM erpsync") }, func() { exec(t, p, "GRANT INSERT ON calls TO erpsync") }},
		{"without its table", func() { exec(t, p, "ALTER TABLE calls RENAME TO away") }, func() { exec(t, p, "ALTER TABLE away RENAME TO calls") }},
	} {
		c.until("written", c.written)
		for range 30 {
			c.call()
		}
		trouble.begin()
		c.until(trouble.name, c.fails)
		for range 20 {
			c.call()
		}
		trouble.over()
		c.check(p)
		t.Log(trouble.name)
	}
}

// terminate ends the connections of the gateway's role.
func terminate(t *testing.T, p *place) {
	t.Helper()
	exec(t, p, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'erpsync'")
}

// forgetful passes a connection to PostgreSQL on, and swallows the answers to some commits.
type forgetful struct {
	address  string
	swallows atomic.Int32
	swallow  atomic.Int32 // how many answers to commits are to be swallowed still
}

func newForgetful(t *testing.T, target string) *forgetful {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	f := &forgetful{address: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(client, target)
		}
	}()
	return f
}

func (f *forgetful) serve(client net.Conn, target string) {
	server, err := net.Dial("tcp", target) //nolint:noctx // loopback
	if err != nil {
		_ = client.Close()
		return
	}
	var deaf atomic.Bool
	var both sync.WaitGroup
	both.Go(func() { // what is asked
		defer client.Close()
		defer server.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			if strings.Contains(string(buffer[:n]), "commit") && f.swallow.Add(-1) >= 0 {
				deaf.Store(true)
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	both.Go(func() { // what is answered
		defer client.Close()
		defer server.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if deaf.Load() { // it is committed, and nobody is told
				f.swallows.Add(1)
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	both.Wait()
}

func TestACommitWhoseAnswerIsLostDoublesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	direct, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	between := newForgetful(t, direct.Host)
	direct.Host = between.address
	p.url = direct.String()
	c := newCaller(t, p)
	for range 5 {
		c.until("written", c.written)
		between.swallow.Store(1)
		before := between.swallows.Load()
		c.until("swallowed", func() bool { return between.swallows.Load() > before })
	}
	c.check(p)
}

func TestAConnectionIsMadeWithThePasswordAsItIsNow(t *testing.T) {
	t.Parallel()
	admin := postgrestest.Database(t)
	p := newPlaceAt(t, admin, "erpsync")
	exec(t, p, "CREATE ROLE rotating LOGIN PASSWORD 'old'")
	exec(t, p, "CREATE SCHEMA erpsync AUTHORIZATION rotating")
	as, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	dsn := func(password string) string {
		as.User = url.UserPassword("rotating", password)
		return as.String()
	}
	p.url = dsn("old")
	s := openAt(t, p, historytest.ThisNode)
	exec(t, p, "ALTER ROLE rotating PASSWORD 'new'")
	p.url = dsn("new") // as the file has it now
	exec(t, p, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")
	var failed error
	for range 10 { // connections that were open are gone
		if failed = s.Write(t.Context(), []history.Row{historytest.Began("a", time.Now())}); failed == nil {
			return
		}
	}
	t.Error(failed)
}
