package auth

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAFileThatEveryUserMayReadIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "secrets", "data", "secret"), filepath.Join(dir, "link")
	closed := filepath.Dir(path)
	if err := os.MkdirAll(closed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	chmod := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(filepath.Dir(dir), 0o755) // of the tests' own
	for _, c := range []struct {
		file, directory os.FileMode
		open            bool
	}{
		{0o600, 0o755, false},
		{0o640, 0o755, false},
		{0o604, 0o755, true},
		{0o644, 0o755, true},
		{0o444, 0o750, false}, // a mount that only its owner and group can enter
		{0o444, 0o754, false}, // others see its name and cannot open it
		{0o444, 0o751, true},
	} {
		chmod(path, c.file)
		chmod(filepath.Dir(closed), c.directory)
		for _, name := range []string{path, link} {
			stat, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := ReadableByAll(name, stat); got != (c.open && runtime.GOOS != "windows") {
				t.Errorf("%v in %v: %v", c.file, c.directory, got)
			}
		}
	}
}
