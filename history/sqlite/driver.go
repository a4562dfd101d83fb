package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite" // SQLite in Go, and database/sql's driver
	codes "modernc.org/sqlite/lib"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

const driverName = "sqlite"

// classify tells errors that are a row's own fault, and files that must not be used, from trouble that may pass: a lock, a
// full disk, a folder that is gone.
func classify(err error) error {
	var of *driver.Error
	if !errors.As(err, &of) {
		return err
	}
	switch of.Code() & 0xff {
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_TOOBIG, codes.SQLITE_MISMATCH, codes.SQLITE_RANGE, codes.SQLITE_MISUSE, codes.SQLITE_ERROR, codes.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", history.ErrNeverWritten, err)
	case codes.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w: %w", history.ErrRefused, history.ErrNeverWritten, err)
	}
	return err
}
