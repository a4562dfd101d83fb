// Package sqlstore is what the histories in SQL databases have in common: their statements, how rows become columns, and
// what opens and closes a failure. A driver such as history/sqlite adds the schema, the connection and a Dialect.
package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// Dialect is what one database does in a way of its own.
type Dialect interface {
	// Text returns a statement, in which every ? is an argument, as the database reads it.
	Text(statement string) string
	// Classify returns an error as history.Store's methods return it, with nothing of a row in its text; nil for nil.
	Classify(err error) error
	// Repeats reports whether a transaction that failed so is to be run again at once.
	Repeats(err error) bool
	// Begin is called at the beginning of each transaction.
	Begin(tx *Tx) error
	// Lock lets no other transaction change what fails in these tenants until this one is over.
	Lock(tx *Tx, tenants []Tenant) error
	// Ahead returns how much the database's clock is ahead of this process's.
	Ahead(tx *Tx) (time.Duration, error)

	// Key returns a key of a call as failing has it: an int64, a string, or Everything.
	Key(key any) any
	// RemoveKeys removes those keys of a scope from failing for which a condition holds. Keys are as Key returns them.
	RemoveKeys(tx *Tx, scope int64, keys []any, condition string, args ...any) error
	// FailKeys makes keys of a scope fail since then for that cause, but for those that failed later.
	FailKeys(tx *Tx, scope int64, keys []any, failure, ended int64) error
}

// Everything is the key of a call that names none.
var Everything = []byte{}

// Tenant is whose failures a transaction may change.
type Tenant struct{ Environment, Tenant string }

// Tx is a transaction. Its statements are written as Dialect.Text takes them.
type Tx struct {
	Context context.Context //nolint:containedctx // of the transaction, and no longer
	SQL     *sql.Tx
	Dialect Dialect

	prepared map[string]*sql.Stmt // the store's
	bound    map[string]*sql.Stmt // those of them that this transaction has used

	// What the transaction has found out: rows of a group are of few scopes. A scope's number is 0 where there is none.
	scopes  map[history.Scope]int64
	failing map[int64]bool // whether a scope has keys that fail, by its number

	watchdog *time.Timer // nil: none
	timeout  time.Duration
}

// alive says that the statement before was answered, and that the next one has its time.
func (t *Tx) alive() {
	if t.watchdog != nil {
		t.watchdog.Reset(t.timeout)
	}
}

// statement returns what was prepared for a statement; nil: nothing.
func (t *Tx) statement(text string) *sql.Stmt {
	if stmt := t.bound[text]; stmt != nil {
		return stmt
	}
	prepared := t.prepared[text]
	if prepared == nil {
		return nil
	}
	if t.bound == nil {
		t.bound = make(map[string]*sql.Stmt)
	}
	stmt := t.SQL.StmtContext(t.Context, prepared)
	t.bound[text] = stmt
	return stmt
}

// Exec runs a statement, and returns how many rows it changed.
func (t *Tx) Exec(text string, args ...any) (changed int64, err error) {
	t.alive()
	var result sql.Result
	if stmt := t.statement(text); stmt != nil {
		result, err = stmt.ExecContext(t.Context, args...)
	} else {
		result, err = t.SQL.ExecContext(t.Context, t.Dialect.Text(text), args...)
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Query asks for rows.
func (t *Tx) Query(text string, args ...any) (*sql.Rows, error) {
	t.alive()
	if stmt := t.statement(text); stmt != nil {
		return stmt.QueryContext(t.Context, args...)
	}
	return t.SQL.QueryContext(t.Context, t.Dialect.Text(text), args...)
}

// QueryRow asks for one row.
func (t *Tx) QueryRow(text string, args ...any) *sql.Row {
	t.alive()
	if stmt := t.statement(text); stmt != nil {
		return stmt.QueryRowContext(t.Context, args...)
	}
	return t.SQL.QueryRowContext(t.Context, t.Dialect.Text(text), args...)
}
