//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheChildrenOfAProcessEndWithIt(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	p, err := start(t.Context(), dir, listener.Addr().String(), nil, "sh", "-c", "sleep 600 & echo $! > "+dir+"/child; wait")
	if err != nil {
		t.Fatal(err)
	}
	var child int
	within := func(what string, done func() bool) {
		for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	within("no child began", func() bool {
		raw, err := os.ReadFile(filepath.Join(dir, "child"))
		if err == nil {
			child, err = strconv.Atoi(strings.TrimSpace(string(raw)))
		}
		return err == nil
	})
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatal(err)
	}
	p.stop()
	within("the child lives", func() bool {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		return syscall.Kill(child, 0) != nil || err == nil && strings.Contains(string(raw), ") Z ")
	})
}
