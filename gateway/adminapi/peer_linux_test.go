package adminapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const socketOfAnother = "ERPSYNC_TEST_SOCKET"

// TestMain is the other process where it is asked to be: it listens until its standard input ends.
func TestMain(m *testing.M) {
	path := os.Getenv(socketOfAnother)
	if path == "" {
		os.Exit(m.Run())
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	_, _ = os.Stdout.WriteString("listening\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestAnotherProcessAtTheSocketIsNoticedAndThisOneIsNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if pid, occupied := Occupant(filepath.Join(dir, "none")); occupied {
		t.Errorf("nobody: %d", pid)
	}
	own, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "own"))
	if err != nil {
		t.Fatal(err)
	}
	if pid, occupied := Occupant(own.Addr().String()); occupied {
		t.Errorf("this process: %d", pid)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(dir, "another")
	another := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
	another.Env = append(os.Environ(), socketOfAnother+"="+path)
	stdin, err := another.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := another.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := another.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("%q %v", line, err)
	}
	if pid, occupied := Occupant(path); !occupied || pid != another.Process.Pid {
		t.Errorf("process %d: %d %t", another.Process.Pid, pid, occupied)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := another.Wait(); err != nil {
		t.Error(err)
	}
}
