// Package redistest runs real Redis and Valkey servers for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// Program is a server that speaks Redis's protocol.
type Program string

// The programs that stores are tested with.
const (
	Redis  Program = "redis-server"
	Valkey Program = "valkey-server"
)

// Server is a server of a test's own, on loopback.
type Server struct {
	Address string
	t       testing.TB
	program string
	dir     string
	args    []string
	cmd     *exec.Cmd
}

// Start runs a redis-server as Program.Start does.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return Redis.Start(t, args...)
}

// path finds the program: the system's, or the one that e2e/setup brought.
func (p Program) path() (string, error) {
	found, err := exec.LookPath(string(p))
	if err == nil {
		return found, nil
	}
	for dir, _ := os.Getwd(); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		own := filepath.Join(dir, "e2e", "bin", string(p))
		if info, statErr := os.Stat(own); statErr == nil && info.Mode().IsRegular() {
			return own, nil
		}
	}
	return "", err
}

// Start runs the program with further arguments until the test ends. Without it the test is skipped; in CI it fails.
func (p Program) Start(t testing.TB, args ...string) *Server {
	t.Helper()
	program, err := p.path()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: make setup", p)
		}
		t.Skipf("%s is not installed: make setup", p)
	}
	port := testport.Take(t)
	s := &Server{Address: fmt.Sprintf("127.0.0.1:%d", port), t: t, program: program, dir: t.TempDir(), args: append([]string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
	}, args...)}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server, again if it was killed: then it has what it had, and further arguments.
func (s *Server) Run(further ...string) {
	s.t.Helper()
	s.cmd = exec.Command(s.program, slices.Concat(s.args, []string{"--dir", s.dir}, further)...) //nolint:gosec // a test's own arguments
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(filepath.Dir(s.program), "lib")) // as e2e/setup brought them
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", s.Address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not listen", s.program)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Sentinel is a master, its replica and the Sentinel that watches them.
type Sentinel struct {
	Address         string
	t               testing.TB
	password        string
	master, replica *Server
}

// StartSentinel runs the three until the test ends, with one password for the data.
func StartSentinel(t testing.TB, name, password string) *Sentinel {
	t.Helper()
	s := &Sentinel{t: t, password: password}
	s.master = Start(t, "--requirepass", password, "--masterauth", password)
	host, port, err := net.SplitHostPort(s.master.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.replica = Start(t, "--requirepass", password, "--masterauth", password, "--replicaof", host+" "+port)
	watcher := &Server{t: t, program: s.master.program, dir: t.TempDir(), Address: testport.Address(t)}
	_, own, err := net.SplitHostPort(watcher.Address)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(watcher.dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor %s %s %s 1\nsentinel auth-pass %s %s\nsentinel down-after-milliseconds %s 5000\nsentinel failover-timeout %s 5000\n",
		own, name, host, port, name, password, name, name)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	watcher.args = []string{config, "--sentinel"}
	watcher.Run()
	t.Cleanup(watcher.Kill)
	s.Address = watcher.Address
	return s
}

func (s *Sentinel) client(server *Server) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: server.Address, Password: s.password})
}

// WaitForReplica waits until the replica has what the master has and the Sentinel knows it.
func (s *Sentinel) WaitForReplica() {
	s.t.Helper()
	client := s.client(s.master)
	defer client.Close()
	watcher := redis.NewSentinelClient(&redis.Options{Addr: s.Address})
	defer watcher.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		replicas, err := watcher.Replicas(ctx, "erpsync").Result()
		if n, _ := replicated(ctx, client, "replicated", time.Second); n == 1 && err == nil && len(replicas) == 1 {
			return
		}
	}
	s.t.Fatal("the replica does not follow")
}

// KillMaster ends the master; the Sentinel then makes the replica the master.
func (s *Sentinel) KillMaster() {
	s.master.Kill()
	s.master = s.replica
}

// Flush has the master lose everything.
func (s *Sentinel) Flush() {
	s.t.Helper()
	client := s.client(s.master)
	defer client.Close()
	if err := client.FlushAll(context.Background()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Dump returns everything that the master keeps.
func (s *Sentinel) Dump() string {
	client := s.client(s.master)
	defer client.Close()
	return dump(client)
}

// Dump returns everything that the server keeps, keys and values, to look for what must not be there.
func (s *Server) Dump() string {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Address})
	defer client.Close()
	return dump(client)
}

func dump(client *redis.Client) string {
	ctx := context.Background()
	var out strings.Builder
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		out.WriteString(keys.Val() + "\n")
		switch client.Type(ctx, keys.Val()).Val() {
		case "hash":
			fmt.Fprintln(&out, client.HGetAll(ctx, keys.Val()).Val())
		case "zset":
			fmt.Fprintln(&out, client.ZRange(ctx, keys.Val(), 0, -1).Val())
		default:
			fmt.Fprintln(&out, client.Get(ctx, keys.Val()).Val())
		}
	}
	return out.String()
}
