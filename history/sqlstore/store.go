package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// repeats is how often a transaction is run again that another one was in the way of.
const repeats = 10

// Options are what a Store is made of.
type Options struct {
	// DB is where transactions run that write, one at a time, Reader where people ask; it may be the same.
	DB, Reader *sql.DB
	Dialect    Dialect
	// Timeout bounds how long a transaction may wait for the answer to a statement; zero: the caller's context does alone. A
	// group of rows has as many statements as it needs.
	Timeout time.Duration
	// MostScanned is how many calls a search for a key looks into at once; zero: history.MaxScanned.
	MostScanned int
}

// Store is what history.Store has in common for all databases: all of it but Trim and Close. A driver embeds it.
type Store struct {
	Options
	writer   chan struct{} // one at a time: it holds one
	prepared map[string]*sql.Stmt

	run     int64 // of this process
	gateway history.Gateway
}

// New returns a store whose schema is up to date. Enter must be called before anything is written.
func New(options Options) *Store {
	return &Store{Options: options, writer: make(chan struct{}, 1)}
}

// Prepare prepares the statements of each row, for a database that would parse them each time.
func (s *Store) Prepare(ctx context.Context) error {
	s.prepared = make(map[string]*sql.Stmt)
	for _, text := range []string{insertCall, supposedEnd, scopeID, failsInScope, RemoveKey + failedUntil, FailKey, addDay, addLatest} {
		stmt, err := s.DB.PrepareContext(ctx, s.Dialect.Text(text))
		if err != nil {
			return errors.Join(err, s.Unprepare())
		}
		s.prepared[text] = stmt
	}
	return nil
}

// Unprepare is the end of what Prepare prepared.
func (s *Store) Unprepare() (err error) {
	for _, stmt := range s.prepared {
		err = errors.Join(err, stmt.Close())
	}
	return err
}

// Change runs a transaction that writes; no other of this process does meanwhile. It may run do several times.
func (s *Store) Change(ctx context.Context, do func(*Tx) error) error {
	return s.Alone(ctx, func() error {
		for again := 0; ; again++ {
			err := s.transact(ctx, s.DB, nil, do)
			if err == nil || again == repeats || !s.Dialect.Repeats(err) {
				return s.Dialect.Classify(err)
			}
		}
	})
}

// Alone runs something while nothing else of this process writes.
func (s *Store) Alone(ctx context.Context, do func() error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read runs a transaction that only reads. It sees one state of the history.
func (s *Store) Read(ctx context.Context, do func(*Tx) error) error {
	return s.Dialect.Classify(s.transact(ctx, s.Reader, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, do))
}

// errSilent says that the database did not answer a statement in time.
var errSilent = errors.New("the database does not answer in time")

func (s *Store) transact(ctx context.Context, db *sql.DB, options *sql.TxOptions, do func(*Tx) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	within := &Tx{Context: ctx, Dialect: s.Dialect, prepared: s.prepared}
	if s.Timeout > 0 {
		within.watchdog = time.AfterFunc(s.Timeout, func() { cancel(errSilent) })
		within.timeout = s.Timeout
		defer within.watchdog.Stop()
		defer func() {
			if err != nil && context.Cause(ctx) == errSilent { //nolint:errorlint // it is never wrapped
				err = errSilent
			}
		}()
	}
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	within.SQL = tx
	if err := s.Dialect.Begin(within); err != nil {
		return err
	}
	if err := do(within); err != nil {
		return err
	}
	within.alive()
	return tx.Commit()
}

// Run returns the number that this process has in the history.
func (s *Store) Run() int64 { return s.run }
