// Package sqlite keeps a history in a file of SQLite. It is a Caddy module of its own, so that a Caddy without it has no
// database in it.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

func init() { caddy.RegisterModule(new(SQLite)) }

const (
	defaultKeep    = 90 * 24 * time.Hour
	defaultMaxSize = 1 << 30
	leastMaxSize   = 1 << 20
)

// SQLite keeps the history of calls in one file. The file and those that SQLite puts beside it (-wal, -shm) can be read by
// the gateway's user alone. It must lie on a local disk: network file systems are refused where the system tells them
// (Linux), and a FUSE file system is warned of. No command opens it: commands ask the running gateway.
//
// Several sites and configurations of a process share one file. Two processes may, where both run on one machine.
type SQLite struct {
	// The file. Default: erpsync/history.db in Caddy's data folder. A folder that is missing is created.
	Path string `json:"path,omitempty"`

	// How long rows are kept. Default: 90d.
	Keep caddy.Duration `json:"keep,omitempty"`

	// How large the file may become, in bytes: beyond that the oldest rows are removed, whatever keep says. Default: 1 GiB; at
	// least 1 MiB. What SQLite has not yet moved into the file (-wal) comes on top, mostly less than 16 MiB.
	MaxSize int64 `json:"max_size,omitempty"`

	path   string
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "erpsync.history.sqlite", New: func() caddy.Module { return new(SQLite) }}
}

// Provision fills in defaults. It touches no file.
func (s *SQLite) Provision(ctx caddy.Context) error {
	s.logger = ctx.Logger()
	path := caddy.NewReplacer().ReplaceAll(s.Path, "")
	if path == "" {
		if s.Path != "" {
			return fmt.Errorf("path %q: is empty once its placeholders are replaced", s.Path)
		}
		path = filepath.Join(caddy.AppDataDir(), "erpsync", "history.db")
	}
	var err error
	s.path, err = filepath.Abs(path)
	return err
}

// Validate refuses what cannot be right.
func (s *SQLite) Validate() error {
	switch {
	case s.Keep < 0:
		return errors.New("keep: must be positive")
	case s.MaxSize != 0 && s.MaxSize < leastMaxSize:
		return fmt.Errorf("max_size %d: want at least %d, 1 MiB", s.MaxSize, leastMaxSize)
	}
	return nil
}

// UnmarshalCaddyfile sets the module up from Caddyfile tokens:
//
//	sqlite {
//		path      <path>
//		keep      <duration>
//		max_size  <size>
//	}
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Err(`wrong arguments of "history sqlite"; write: history sqlite { path <path> … }`)
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("option %q specified more than once", name)
		}
		seen[name] = true
		var raw string
		if !d.AllArgs(&raw) {
			return d.Errf("option %q of history sqlite takes one value", name)
		}
		switch name {
		case "path":
			s.Path = raw
		case "keep":
			keep, err := caddy.ParseDuration(raw)
			if err != nil || keep <= 0 {
				return d.Errf("invalid duration %q: must be positive and have a unit, such as 12h or 90d", raw)
			}
			s.Keep = caddy.Duration(keep)
		case "max_size":
			size, err := humanize.ParseBytes(raw)
			if err != nil || size < leastMaxSize || size > math.MaxInt64 {
				return d.Errf("invalid size %q: must be 1MiB or more, such as 500MiB", raw)
			}
			s.MaxSize = int64(size)
		default:
			return d.Errf("unknown option %q of history sqlite; want path, keep or max_size", name)
		}
	}
	return nil
}

// Key is history.Driver's.
func (s *SQLite) Key() string {
	folder, err := filepath.EvalSymlinks(filepath.Dir(s.path))
	if err != nil { // it is to be created
		return "sqlite " + s.path
	}
	return "sqlite " + filepath.Join(folder, filepath.Base(s.path))
}

// Open is history.Driver's.
func (s *SQLite) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	opened, err := open(ctx, s.path, gateway)
	if err != nil {
		return nil, fmt.Errorf("history sqlite %s: %w", s.path, err)
	}
	if onFUSE(filepath.Dir(s.path)) {
		s.logger.Warn("history lies on a FUSE file system; where that is a network, SQLite breaks", zap.String("path", s.path))
	}
	return opened, nil
}

// Retention is history.Driver's.
func (s *SQLite) Retention() history.Retention {
	retention := history.Retention{Keep: time.Duration(s.Keep), MaxSize: s.MaxSize}
	if retention.Keep == 0 {
		retention.Keep = defaultKeep
	}
	if retention.MaxSize == 0 {
		retention.MaxSize = defaultMaxSize
	}
	return retention
}

var (
	_ caddy.Provisioner     = (*SQLite)(nil)
	_ caddy.Validator       = (*SQLite)(nil)
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
	_ history.Driver        = (*SQLite)(nil)
)
