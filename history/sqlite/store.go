package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

const (
	// vacuumStep is how many pages are given back at once: writers wait meanwhile.
	vacuumStep = 500
	// freePages is how many free pages a file keeps for the rows to come.
	freePages = 1000
	// walLimit is how long the write-ahead log stays once it was longer, in bytes.
	walLimit = 16 << 20
)

// store is one open file.
type store struct {
	*sqlstore.Store
	db   *sql.DB
	path string
	file os.FileInfo // as it was opened
}

// open opens the file, and creates it with mode 0600 if there is none.
func open(ctx context.Context, path string, gateway history.Gateway) (_ *store, err error) {
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	// temp_store in memory: a temporary file would have the mode that the driver gives it.
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(1000)", "auto_vacuum(incremental)", "journal_mode(wal)", "synchronous(normal)", fmt.Sprintf("journal_size_limit(%d)", walLimit), "temp_store(memory)", "trusted_schema(off)",
		},
	}.Encode()}
	db, err := sql.Open(driverName, address.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4) // one writes, the others read: people who ask must not keep rows from being written
	s := &store{Store: sqlstore.New(sqlstore.Options{DB: db, Reader: db, Dialect: dialect{}}), db: db, path: path}
	defer func() {
		if err != nil {
			err = errors.Join(classify(err), db.Close())
		}
	}()
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return s, s.Enter(ctx, gateway)
}

// prepareFile creates the file and its folder for this user alone, before the driver would create it for all.
func prepareFile(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := checkFileSystem(folder); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%w: %s is no regular file", history.ErrRefused, name)
		case info.Mode().Perm()&0o077 != 0:
			if err := os.Chmod(name, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// Beat is history.Store's.
func (s *store) Beat(ctx context.Context, now time.Time) error {
	if found, err := os.Stat(s.path); err != nil || !os.SameFile(found, s.file) {
		return fmt.Errorf("%w: %s was moved or removed", history.ErrGone, s.path)
	}
	return s.Store.Beat(ctx, now)
}

// Trim is history.Store's.
func (s *store) Trim(ctx context.Context, now time.Time, retention history.Retention) (more bool, err error) {
	if retention.Keep > 0 {
		if more, err := s.TrimAge(ctx, now.Add(-retention.Keep)); err != nil || more {
			return more, err
		}
		if more, err := s.TrimUsage(ctx, now, retention.Keep); err != nil || more {
			return more, err
		}
	}
	var pages, free, size int64
	if err := s.db.QueryRowContext(ctx, "SELECT (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)").Scan(&pages, &free, &size); err != nil {
		return false, classify(err)
	}
	full := retention.MaxSize > 0 && pages*size > retention.MaxSize
	switch {
	case full && free > 0, free > freePages && free > pages/4:
		return true, s.vacuum(ctx)
	case full:
		removed, err := s.RemoveExcess(ctx, now, retention.MaxSize)
		return removed > 0, err
	}
	return false, nil
}

// vacuum gives free pages back to the file system. SQLite frees one page for each row that is read of its answer.
func (s *store) vacuum(ctx context.Context) error {
	return s.Alone(ctx, func() error {
		rows, err := s.db.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumStep))
		if err != nil {
			return classify(err)
		}
		for rows.Next() { //nolint:revive // reading is what does the work
		}
		return classify(errors.Join(rows.Err(), rows.Close()))
	})
}

// Close is history.Store's.
func (s *store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(s.Leave(ctx), s.Unprepare(), s.db.Close())
}
