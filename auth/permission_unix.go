//go:build !windows

package auth

import (
	"io/fs"
	"os"
	"path/filepath"
)

// ReadableByAll reports whether every user of the machine can read the file at path: its mode lets them, and so does
// that of each directory that leads to it. A secret that a container runtime mounts with mode 0444 is closed by the
// directory that it lies in.
func ReadableByAll(path string, stat fs.FileInfo) bool {
	if stat.Mode().Perm()&0o004 == 0 {
		return false
	}
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	for dir := filepath.Dir(path); err == nil; dir = filepath.Dir(dir) {
		var above fs.FileInfo
		if above, err = os.Stat(dir); err == nil && above.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return true
}
