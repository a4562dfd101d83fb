package auditfile

import (
	"context"
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// Caddy 2.11 closes no log when its process ends, so that what waits is written here, once no call is in flight any more. Lines that
// come while the process is ending do not wait.
func init() {
	caddy.OnExit(func(context.Context) {
		if err := openFiles.finish(); err != nil {
			caddy.Log().Error("audit lines are lost", zap.Error(err))
		}
	})
}

// openFiles are all that were opened and not closed.
var openFiles = &registry{files: map[*groups]struct{}{}}

type registry struct {
	mu    sync.Mutex
	files map[*groups]struct{}
}

func (r *registry) add(file *groups) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[file] = struct{}{}
}

func (r *registry) remove(file *groups) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.files, file)
}

// finish writes what waits for any file, and returns an error if lines are lost.
func (r *registry) finish() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for file := range r.files {
		file.writing.Lock()
		err = errors.Join(err, file.finish())
		file.writing.Unlock()
	}
	return err
}
