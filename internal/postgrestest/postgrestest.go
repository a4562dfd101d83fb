// Package postgrestest runs a real PostgreSQL for tests.
package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's driver

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// password is that of the superuser of every server of tests.
const password = "of-tests-only"

// Server is a PostgreSQL of tests, on loopback. It does not wait for the disk, and forgets what it had when the machine stops.
type Server struct {
	Port int

	dir  string // its own
	bin  string // where its programs are
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd is over
}

// Start runs a PostgreSQL with further settings, such as max_connections=5, until the test ends. Where none is installed the
// test is skipped; in CI it fails.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := create(t, settings)
	t.Cleanup(s.remove)
	return s
}

var shared struct {
	sync.Mutex
	server *Server
	number int
}

// Database creates an empty database in the server that all tests of a program share, and returns its URL as the superuser.
// TestMain has to call End.
func Database(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		shared.server = create(t, []string{"max_connections=300"})
	}
	shared.number++
	return shared.server.Database(t, fmt.Sprintf("test%d", shared.number))
}

// End ends the server that the tests of a program shared.
func End() {
	if shared.server != nil {
		shared.server.remove()
	}
}

// programs returns where PostgreSQL's programs are; Debian has only some of them on the path.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: make setup")
	}
	return filepath.Dir(slices.Max(found)), nil
}

func create(t testing.TB, settings []string) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "postgrestest")
	must(t, err)
	s := &Server{Port: testport.Take(t), dir: dir, bin: bin}
	toNobody(t, dir)
	file := filepath.Join(dir, "password")
	must(t, os.WriteFile(file, []byte(password), 0o644)) //nolint:gosec // in a folder of its user alone
	init := s.command(t, "initdb", "--pgdata", filepath.Join(dir, "data"), "--username", "postgres", "--pwfile", file, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		t.Fatalf("initdb: %v: %s", err, out)
	}
	s.args = []string{"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(s.Port)}
	for _, setting := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"}, settings...) {
		s.args = append(s.args, "-c", setting)
	}
	s.Run(t)
	return s
}

// command is a program of PostgreSQL's.
func (s *Server) command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // a test's own arguments
	cmd.Dir = s.dir
	asNobody(t, cmd)
	return cmd
}

// Run starts the server again after Kill or Stop, with what it had.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer log.Close()
	s.cmd, s.done = s.command(t, "postgres", s.args...), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = log, log
	must(t, s.cmd.Start())
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	db := s.admin(t)
	defer db.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			t.Fatalf("postgres does not answer: %v: %s", err, said)
		}
	}
}

// Kill ends the server at once, as a crash would. It recovers when it runs again.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

// Stop ends the server, and every connection to it.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

func (s *Server) end(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal)
	<-s.done
	s.cmd = nil
}

func (s *Server) remove() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// URL returns the URL of a database for a user. It says sslmode=disable: the server is on loopback.
func (s *Server) URL(user, password, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database, RawQuery: "sslmode=disable"}).String()
}

func (s *Server) admin(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", s.URL("postgres", password, "postgres"))
	must(t, err)
	db.SetMaxOpenConns(1)
	return db
}

// Database creates an empty database, and returns its URL as the superuser.
func (s *Server) Database(t testing.TB, name string) string {
	t.Helper()
	s.Exec(t, "CREATE DATABASE "+name)
	return s.URL("postgres", password, name)
}

// Exec runs a statement as the superuser, outside of any test's database.
func (s *Server) Exec(t testing.TB, statement string) {
	t.Helper()
	db := s.admin(t)
	defer db.Close()
	_, err := db.ExecContext(context.Background(), statement)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
