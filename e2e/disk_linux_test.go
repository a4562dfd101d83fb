//go:build outage

package e2e

import (
	"syscall"
	"testing"
)

// mountSmallDisk puts a disk of its own at dir, which takes root.
func mountSmallDisk(t *testing.T, dir string) error {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		return err
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return nil
}
