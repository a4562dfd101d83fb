//go:build unix

package redistest

import "syscall"

// Freeze stops the server's process until thawed: it takes connections and answers nothing.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
