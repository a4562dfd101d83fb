package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a program of ours that runs until the bench ends.
type process struct {
	addr  string // where it listens
	admin string // where Caddy's admin API listens
	pid   int
	stop  func()

	logFile string // what it writes
}

// start runs a program and waits until it listens at addr.
func start(ctx context.Context, dir, addr string, env []string, name string, args ...string) (process, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // our own programs
	endTree(cmd)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(dir, strings.ReplaceAll(addr, ":", "_")+".log"))
	if err != nil {
		cancel()
		return process{}, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cancel()
		return process{}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	p := process{addr: addr, pid: cmd.Process.Pid, logFile: log.Name(), stop: func() {
		cancel()
		<-ended
	}}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return p, nil
		}
		select {
		case <-ended:
			deadline = time.Now()
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.stop()
	raw, _ := os.ReadFile(log.Name())
	return process{}, fmt.Errorf("%s does not listen: %s", name, raw)
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// processes are those that a part started.
type processes []process

func (all *processes) add(p process) { *all = append(*all, p) }

func (all *processes) stop() {
	for _, p := range *all {
		p.stop()
	}
}

// site is the process's address as its Caddyfile and browsers name it.
func (p process) site() string { return siteAt(p.addr) }

func siteAt(addr string) string { return "http://localhost:" + portOf(addr) }

func portOf(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// resident is what the process has in memory now, and its peak since forgetPeak, in bytes.
func (p process) resident() (now, peak int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kilobytes << 10
		case "VmHWM:":
			peak = kilobytes << 10
		}
	}
	return now, peak, nil
}

// forgetPeak has the peak of what is resident counted anew.
func (p process) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid), []byte("5"), 0o600)
}
