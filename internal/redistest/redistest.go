// Package redistest runs real Redis servers for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a redis-server of a test's own, on loopback.
type Server struct {
	Address string
	t       testing.TB
	dir     string
	args    []string
	cmd     *exec.Cmd
}

// Start runs a redis-server with further arguments until the test ends. Without the program the test
// is skipped; in CI it fails.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed: make setup")
		}
		t.Skip("redis-server is not installed: make setup")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	s := &Server{Address: fmt.Sprintf("127.0.0.1:%d", port), t: t, dir: t.TempDir(), args: append([]string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
	}, args...)}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server, again if it was killed: then it has what it had.
func (s *Server) Run() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", append(s.args, "--dir", s.dir)...) //nolint:gosec // a test's own arguments
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", s.Address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("redis-server does not listen")
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

// Dump gives everything that the server keeps, keys and values, to look for what must not be there.
func (s *Server) Dump() string {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Address})
	defer client.Close()
	ctx := context.Background()
	var out string
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		out += keys.Val() + "\n"
		switch client.Type(ctx, keys.Val()).Val() {
		case "hash":
			out += fmt.Sprint(client.HGetAll(ctx, keys.Val()).Val())
		case "zset":
			out += fmt.Sprint(client.ZRange(ctx, keys.Val(), 0, -1).Val())
		default:
			out += client.Get(ctx, keys.Val()).Val()
		}
	}
	return out
}
