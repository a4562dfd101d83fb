package postgres

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

const (
	// writers and readers are how many connections a gateway takes at most: one for its rows, one for what operators change
	// while rows are written, and those of people who ask.
	writers, readers = 2, 2
	// A connection is given up when nothing used it for idleTime, and after lifetime in any case, so that gateways find a
	// server that has taken over, and a new password is used.
	idleTime, lifetime = 5 * time.Minute, 30 * time.Minute
	// grace is how much longer than the server a gateway waits for the end of a statement.
	grace = time.Second
	// leave is how long the last words of a gateway may take.
	leave = time.Second
)

// store is a history in one schema.
type store struct {
	*sqlstore.Store
	dialect dialect

	// ahead is how far the database's clock was ahead of this machine's when the history was opened.
	ahead time.Duration

	mu     sync.Mutex
	excess int64 // rows that are too many still, as far as this gateway has counted them
}

// connect returns connections to a server; none is opened yet. now returns the DSN as it is now: its user and password are
// those of each new connection.
func connect(config *pgx.ConnConfig, now func() (*pgx.ConnConfig, error), most int) *sql.DB {
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(func(_ context.Context, to *pgx.ConnConfig) error {
		newer, err := now()
		if err == nil {
			to.User, to.Password = newer.User, newer.Password
		}
		return err
	}))
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(idleTime)
	db.SetConnMaxLifetime(lifetime)
	return db
}

// open opens a history, and brings its schema up to date.
func open(ctx context.Context, config *pgx.ConnConfig, now func() (*pgx.ConnConfig, error), schema string, timeout time.Duration, gateway history.Gateway) (_ *store, err error) {
	d := newDialect(schema, timeout)
	config = config.Copy()
	config.ConnectTimeout = timeout
	s := &store{dialect: d, Store: sqlstore.New(sqlstore.Options{DB: connect(config, now, writers), Reader: connect(config, now, readers), Dialect: d, Timeout: timeout + grace})}
	defer func() {
		if err != nil {
			err = errors.Join(classify(err), s.closePools())
		}
	}()
	if err := migrate(ctx, s.DB, d); err != nil {
		return nil, err
	}
	if err := s.Read(ctx, func(tx *sqlstore.Tx) (err error) {
		s.ahead, err = d.Ahead(tx)
		return err
	}); err != nil {
		return nil, err
	}
	return s, s.Enter(ctx, gateway)
}

func (s *store) closePools() error { return errors.Join(s.DB.Close(), s.Reader.Close()) }

// Write is history.Store's.
func (s *store) Write(ctx context.Context, rows []history.Row) error {
	return s.elsewhere(s.Store.Write(ctx, rows))
}

// Beat is history.Store's.
func (s *store) Beat(ctx context.Context, now time.Time) error {
	return s.elsewhere(s.Store.Beat(ctx, now))
}

// elsewhere gives up the connections to a server that has come to be a standby, so that the next ones find the primary.
func (s *store) elsewhere(err error) error {
	var of *serverError
	if errors.As(err, &of) && of.code == readOnly {
		s.DB.SetMaxIdleConns(0)
		s.DB.SetMaxIdleConns(1)
	}
	return err
}

// leaseTime is how long a gateway is the one that trims, from its last step on: longer than from one trim to the next.
const leaseTime = "3 minutes"

// Trim is history.Store's. One gateway does it for all.
func (s *store) Trim(ctx context.Context, now time.Time, retention history.Retention) (more bool, err error) {
	var mine int64
	if err := s.Change(ctx, func(tx *sqlstore.Tx) (err error) {
		mine, err = tx.Exec("UPDATE trimming SET run = ?, until = clock_timestamp() + interval '"+leaseTime+"' WHERE run = ? OR until < clock_timestamp()", s.Run(), s.Run())
		return err
	}); err != nil || mine == 0 {
		return false, err
	}
	if retention.Keep > 0 {
		if more, err := s.TrimAge(ctx, now.Add(-retention.Keep)); err != nil || more {
			return more, err
		}
		if more, err := s.TrimUsage(ctx, now, retention.Keep); err != nil || more {
			return more, err
		}
	}
	if retention.MaxSize == 0 {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.excess == 0 {
		if s.excess, err = s.tooMany(ctx, retention.MaxSize); err != nil || s.excess == 0 {
			return false, err
		}
	}
	removed, err := s.RemoveExcess(ctx, now, retention.MaxSize)
	if s.excess = max(s.excess-removed, 0); removed == 0 {
		s.excess = 0
	}
	return s.excess > 0, err
}

// Close is history.Store's.
func (s *store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), leave)
	defer cancel()
	return errors.Join(s.Leave(ctx), s.closePools())
}

// table is one that grows.
type table struct {
	name string
	rows int64
	// size is that of the table and its indices as PostgreSQL tells it, used the part of it in which there are rows. Removed
	// rows leave room for others, and the relation as large as it was.
	size, used float64
}

// samples is how many rows of a table are looked at for their size, about.
const samples = 2000

// tooMany returns how many of the oldest rows are to be removed for a history to be within that size; zero: none.
func (s *store) tooMany(ctx context.Context, most int64) (rows int64, err error) {
	err = s.Read(ctx, func(tx *sqlstore.Tx) error {
		rows = 0
		var all float64
		if err := tx.QueryRow("SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::float8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND c.relkind = 'r'", s.dialect.schema).Scan(&all); err != nil {
			return err
		}
		if all <= float64(most) {
			return nil
		}
		calls, failing := table{name: "calls"}, table{name: "failing"}
		for _, t := range []*table{&calls, &failing} {
			if err := t.measure(tx); err != nil {
				return err
			}
			all -= t.size - t.used
		}
		if all <= float64(most) {
			return nil
		}
		oldest := calls
		if calls.rows == 0 {
			oldest = failing
		}
		if oldest.rows == 0 {
			return nil
		}
		// A little more, so that there is nothing to be done each minute.
		rows = int64(math.Ceil((all - 0.98*float64(most)) / (oldest.used / float64(oldest.rows))))
		rows = min(rows, oldest.rows)
		return nil
	})
	return rows, err
}

// rowHead is what PostgreSQL puts before each row, in bytes.
const rowHead = 28

func (t *table) measure(tx *sqlstore.Tx) error {
	var heap float64
	if err := tx.QueryRow("SELECT count(*), pg_total_relation_size('"+t.name+"')::float8, pg_table_size('"+t.name+"')::float8 FROM "+t.name).Scan(&t.rows, &t.size, &heap); err != nil {
		return err
	}
	if t.rows == 0 {
		return nil
	}
	percent := min(100, 100*samples/float64(t.rows))
	var average sql.NullFloat64
	if err := tx.QueryRow("SELECT avg(pg_column_size(t))::float8 FROM "+t.name+" t TABLESAMPLE SYSTEM (?)", percent).Scan(&average); err != nil {
		return err
	}
	t.used = t.size
	if average.Valid && heap > 0 {
		t.used = t.size * min(1, float64(t.rows)*(average.Float64+rowHead)/heap)
	}
	return nil
}
