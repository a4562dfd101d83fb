//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// endTree has a command's end be that of its children too: a killed nginx or Apache would leave its workers.
func endTree(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
