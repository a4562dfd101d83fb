//go:build unix

package postgrestest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// nobody returns whom PostgreSQL runs as where the tests are root, which it refuses; nil: as the tests.
func nobody(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	found, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func asNobody(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if id := nobody(t); id != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: id}
	}
}

func toNobody(t testing.TB, dir string) {
	t.Helper()
	if id := nobody(t); id != nil {
		must(t, os.Chown(dir, int(id.Uid), int(id.Gid)))
	}
}
