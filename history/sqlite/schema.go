package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

// applicationID marks a file as a history of ours: "ERPS".
const applicationID = 0x45525053

// migrations lead from each version of the schema to the next; a file's user_version is how many it has had. They are never
// changed once released. Times are microseconds since 1970.
var migrations = []string{`
CREATE TABLE gateways (
	run     INTEGER PRIMARY KEY, -- of one process
	node    TEXT    NOT NULL,
	started INTEGER NOT NULL,
	seen    INTEGER NOT NULL,    -- its last heartbeat
	over    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE calls (
	id               INTEGER PRIMARY KEY,
	request_id       TEXT    NOT NULL UNIQUE,
	run              INTEGER NOT NULL, -- 0: imported
	node             TEXT    NOT NULL,
	environment      TEXT    NOT NULL,
	app              TEXT    NOT NULL,
	tenant           TEXT    NOT NULL,
	principal        TEXT    NOT NULL,
	scheme           TEXT    NOT NULL,
	credential       TEXT    NOT NULL,
	operation        TEXT    NOT NULL,
	understood       INTEGER NOT NULL,
	connection       INTEGER NOT NULL,
	everything       INTEGER NOT NULL,
	keys             BLOB,
	key_count        INTEGER NOT NULL,
	partial          INTEGER NOT NULL,
	actor_type       TEXT    NOT NULL,
	stated           INTEGER NOT NULL,
	decision         TEXT    NOT NULL,
	reason           TEXT    NOT NULL,
	cause            TEXT    NOT NULL,
	replays          TEXT    NOT NULL,
	outcome          TEXT    NOT NULL,
	outcome_cause    TEXT    NOT NULL,
	error_code       TEXT    NOT NULL,
	user_explanation TEXT    NOT NULL,
	tech_explanation TEXT    NOT NULL,
	status           INTEGER NOT NULL,
	sends            INTEGER NOT NULL,
	started          INTEGER NOT NULL,
	sent             INTEGER,
	ended            INTEGER -- NULL: not yet
) STRICT;
CREATE INDEX calls_started ON calls (started);
CREATE INDEX calls_open ON calls (run, sent) WHERE ended IS NULL;
`, `
CREATE INDEX calls_succeeded ON calls (tenant, started) WHERE outcome IN ('ok', 'info', 'warning');

CREATE TABLE scopes (
	id            INTEGER PRIMARY KEY,
	environment   TEXT    NOT NULL,
	tenant        TEXT    NOT NULL,
	connection    INTEGER NOT NULL,
	kind          TEXT    NOT NULL,
	actor_type    TEXT    NOT NULL,
	no_blank      INTEGER NOT NULL,
	UNIQUE (tenant, connection, kind, actor_type, no_blank, environment)
) STRICT;

-- What fails for one cause. A group without keys is over.
CREATE TABLE failures (
	id            INTEGER PRIMARY KEY AUTOINCREMENT, -- a number that somebody has read must not come to mean another
	scope         INTEGER NOT NULL,
	app           TEXT    NOT NULL,
	outcome       TEXT    NOT NULL,
	outcome_cause TEXT    NOT NULL,
	error_code    TEXT    NOT NULL,
	reason        TEXT    NOT NULL,
	first         INTEGER NOT NULL,
	last          INTEGER NOT NULL,
	tries         INTEGER NOT NULL,
	request_id    TEXT    NOT NULL,
	UNIQUE (scope, app, outcome, outcome_cause, error_code, reason)
) STRICT;

CREATE TABLE failing (
	scope   INTEGER NOT NULL,
	key     ANY     NOT NULL, -- a number, a text, or a blob of no bytes for everything
	failure INTEGER NOT NULL,
	ended   INTEGER NOT NULL, -- the call that failed
	PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX failing_failure ON failing (failure);

-- What persons took for settled.
CREATE TABLE closures (
	scope         INTEGER NOT NULL,
	app           TEXT    NOT NULL,
	outcome       TEXT    NOT NULL,
	outcome_cause TEXT    NOT NULL,
	error_code    TEXT    NOT NULL,
	reason        TEXT    NOT NULL,
	at            INTEGER NOT NULL,
	actor         TEXT    NOT NULL,
	proof         TEXT    NOT NULL,
	why           TEXT    NOT NULL,
	keys          INTEGER NOT NULL,
	request_id    TEXT    NOT NULL
) STRICT;
CREATE INDEX closures_scope ON closures (scope, at);
`, `
ALTER TABLE calls ADD COLUMN retries TEXT NOT NULL DEFAULT '';
CREATE INDEX calls_unsettled ON calls (tenant, ended) WHERE outcome IN ('error', 'fault', 'contradictory', 'unreachable', 'unknown', 'unreadable', 'empty', 'masked', 'accepted');
`}

// migrate brings a file's schema up to date. It goes forward alone: a file that a newer build wrote is refused.
func migrate(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var id, version, tables int
	if err := tx.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&id, &version, &tables); err != nil {
		return err
	}
	switch {
	case id != applicationID && (id != 0 || version != 0 || tables > 0):
		return fmt.Errorf("%w: the file is another program's database", history.ErrRefused)
	case version > len(migrations):
		return fmt.Errorf("%w: its schema is version %d, and this build knows %d: use the newer build, or another path", history.ErrRefused, version, len(migrations))
	case version == len(migrations):
		return nil
	}
	for _, step := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if version == 1 { // failures began with version 2
		if err := sqlstore.Replay(&sqlstore.Tx{Context: ctx, SQL: tx, Dialect: dialect{}}); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}
