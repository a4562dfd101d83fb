package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
`, `
CREATE INDEX calls_tenant ON calls (tenant, started);
CREATE INDEX calls_failed ON calls (started) WHERE outcome IN ('error', 'contradictory', 'masked', 'empty', 'unreadable', 'fault', 'unreachable', 'unknown');

-- What the calls of a day came to that are over; days are numbered from 1970.
CREATE TABLE days (
	id          INTEGER PRIMARY KEY,
	day         INTEGER NOT NULL,
	environment TEXT    NOT NULL,
	tenant      TEXT    NOT NULL,
	app         TEXT    NOT NULL,
	connection  INTEGER NOT NULL, -- 0: the CRM, or not understood
	calls       INTEGER NOT NULL,
	keys        INTEGER NOT NULL,
	replayed    INTEGER NOT NULL,
	questions   INTEGER NOT NULL,
	refused     INTEGER NOT NULL,
	timed       INTEGER NOT NULL,
	duration    INTEGER NOT NULL, -- of those that are timed, in microseconds
	longest     INTEGER NOT NULL,
	o_ok            INTEGER NOT NULL,
	o_info          INTEGER NOT NULL,
	o_warning       INTEGER NOT NULL,
	o_error         INTEGER NOT NULL,
	o_contradictory INTEGER NOT NULL,
	o_masked        INTEGER NOT NULL,
	o_accepted      INTEGER NOT NULL,
	o_empty         INTEGER NOT NULL,
	o_unreadable    INTEGER NOT NULL,
	o_fault         INTEGER NOT NULL,
	o_unreachable   INTEGER NOT NULL,
	o_unknown       INTEGER NOT NULL,
	w_0  INTEGER NOT NULL, -- within 50 ms, and so on
	w_1  INTEGER NOT NULL,
	w_2  INTEGER NOT NULL,
	w_3  INTEGER NOT NULL,
	w_4  INTEGER NOT NULL,
	w_5  INTEGER NOT NULL,
	w_6  INTEGER NOT NULL,
	w_7  INTEGER NOT NULL,
	w_8  INTEGER NOT NULL,
	w_9  INTEGER NOT NULL,
	w_10 INTEGER NOT NULL,
	w_11 INTEGER NOT NULL,
	w_12 INTEGER NOT NULL,
	w_13 INTEGER NOT NULL,
	w_14 INTEGER NOT NULL,
	success INTEGER NOT NULL, -- when the last of them began; 0: none
	failure INTEGER NOT NULL,
	UNIQUE (tenant, day, environment, app, connection)
) STRICT;
CREATE INDEX days_day ON days (day);

CREATE TABLE refusals (
	day         INTEGER NOT NULL,
	environment TEXT    NOT NULL,
	tenant      TEXT    NOT NULL,
	app         TEXT    NOT NULL,
	connection  INTEGER NOT NULL,
	reason      TEXT    NOT NULL,
	calls       INTEGER NOT NULL,
	PRIMARY KEY (tenant, day, environment, app, connection, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX refusals_day ON refusals (day);

-- The last calls of a connection: any, one that succeeded, one that failed. A time of 0: there is none.
CREATE TABLE latest (
	environment TEXT    NOT NULL,
	tenant      TEXT    NOT NULL,
	app         TEXT    NOT NULL,
	connection  INTEGER NOT NULL,
	last_at            INTEGER NOT NULL,
	last_request       TEXT    NOT NULL,
	last_outcome       TEXT    NOT NULL,
	last_reason        TEXT    NOT NULL,
	last_error_code    TEXT    NOT NULL,
	success_at         INTEGER NOT NULL,
	success_request    TEXT    NOT NULL,
	success_outcome    TEXT    NOT NULL,
	success_reason     TEXT    NOT NULL,
	success_error_code TEXT    NOT NULL,
	failure_at         INTEGER NOT NULL,
	failure_request    TEXT    NOT NULL,
	failure_outcome    TEXT    NOT NULL,
	failure_reason     TEXT    NOT NULL,
	failure_error_code TEXT    NOT NULL,
	PRIMARY KEY (tenant, environment, app, connection)
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
	name  TEXT    PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
	if version < 4 { // and counting with version 4
		if err := sqlstore.Recount(&sqlstore.Tx{Context: ctx, SQL: tx, Dialect: dialect{}}, time.Now()); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}
