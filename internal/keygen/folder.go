package keygen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// file is a file to be made. Public ones may be read by everybody.
type file struct {
	name    string
	content []byte
	public  bool
}

// folder is where keys are written to.
type folder string

// open makes the folder, for the user alone, where there is none. One that every user may write to is
// refused: they could put another key in the place of one that was made here.
func (f folder) open() error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	stat, err := os.Stat(string(f))
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && stat.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("--dir %s: every user may write to it: chmod o-w it, or name another", f)
	}
	return nil
}

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// has reports whether anything has the name, be it a link that leads nowhere.
func (f folder) has(name string) (bool, error) {
	switch _, err := os.Lstat(f.path(name)); {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, err
	}
}

// write makes all of the files or none. It never overwrites, and a file has its permissions from the
// moment on that it exists.
func (f folder) write(files ...file) (err error) {
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	for _, file := range files {
		mode := fs.FileMode(0o600)
		if file.public {
			mode = 0o644
		}
		path := f.path(file.name)
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the operator names the folder
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists and is never overwritten: move it away, or choose another name", path)
		}
		if err != nil {
			return err
		}
		made = append(made, path)
		_, err = out.Write(file.content)
		if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
			return err
		}
	}
	return nil
}
