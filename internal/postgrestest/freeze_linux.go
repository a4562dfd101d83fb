package postgrestest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Freeze stops the server's processes until thawed: it takes connections and answers nothing.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	parent := s.cmd.Process.Pid
	_ = syscall.Kill(parent, signal)
	found, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range found {
		raw, err := os.ReadFile(path) //nolint:gosec // of the system
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(raw), ") ") // pid (name) state parent
		var state string
		var of int
		if _, err := fmt.Sscan(after, &state, &of); err != nil || of != parent {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, signal)
		}
	}
}
