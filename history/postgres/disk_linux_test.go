package postgres

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/postgrestest"
)

// TestAFullDiskOfTheServerHoldsNoCallUpAndLosesNothing mounts a disk of its own for the tables, which takes root.
func TestAFullDiskOfTheServerHoldsNoCallUpAndLosesNothing(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	disk, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(disk) })
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0700,uid="+nobody.Uid); errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a disk takes root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	server.Exec(t, "CREATE TABLESPACE small LOCATION '"+disk+"'")
	admin := server.Database(t, "history")
	p := newPlaceAt(t, admin, "erpsync")
	exec(t, p, "ALTER DATABASE history SET default_tablespace = small")
	c := newCaller(t, p)
	c.until("written", c.written)
	ballast, err := os.Create(filepath.Join(disk, "ballast")) //nolint:gosec // in a folder of the test's own
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	_ = ballast.Close()
	c.until("full", c.fails)
	if cause := c.journal.Health().Cause; cause == nil || !strings.Contains(cause.Error(), "53100") {
		t.Errorf("%v", cause)
	}
	for range 50 {
		c.call()
	}
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	c.check(p)
}
