package sqlstore

import (
	"slices"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// The ledger is what fails. Where it ends up does not depend on the order in which calls are written, if those of a tenant are
// written one after the other: that is what lock is for.

// RemoveKey removes one key for which a condition holds, FailKey makes one fail.
const (
	RemoveKey = "DELETE FROM failing WHERE scope = ? AND key = ? AND "
	FailKey   = `INSERT INTO failing (scope, key, failure, ended) VALUES (?, ?, ?, ?)
ON CONFLICT (scope, key) DO UPDATE SET failure = excluded.failure, ended = excluded.ended WHERE excluded.ended >= failing.ended`
)

const (
	failedUntil  = "ended <= ?"
	closeAll     = "DELETE FROM failing WHERE scope = ? AND ended <= ?"
	failsInScope = "SELECT EXISTS (SELECT 1 FROM failing WHERE scope = ?)"
	isSettled    = "SELECT EXISTS (SELECT 1 FROM closures WHERE " + sameCause + " AND at >= ?)"
	// sameCause compares scope, app, outcome, outcome_cause, error_code and reason.
	sameCause = "scope = ? AND app = ? AND outcome = ? AND outcome_cause = ? AND error_code = ? AND reason = ?"
	// laterSuccesses are read from the index of successes.
	laterSuccesses = "SELECT " + effectColumns + " FROM calls WHERE outcome IN ('ok', 'info', 'warning') AND tenant = ? AND started >= ?"
)

// Frequent returns the statements that run at each call, so that a driver's tests can look at how its database runs them.
func Frequent() []string {
	return []string{laterSuccesses, supposedEnd, RemoveKey + failedUntil, failsInScope, closeAll, isSettled}
}

// keysOf returns the keys of a call as failing has them.
func keysOf(tx *Tx, r *history.Row) ([]any, error) {
	if r.Everything {
		return []any{tx.Dialect.Key(Everything)}, nil
	}
	internal, external, err := history.UnpackKeys(r.Keys)
	if err != nil {
		return nil, err
	}
	keys := make([]any, 0, len(internal)+len(external))
	for _, key := range internal {
		keys = append(keys, tx.Dialect.Key(int64(key)))
	}
	for _, key := range external {
		keys = append(keys, tx.Dialect.Key(key))
	}
	return keys, nil
}

// apply opens or closes what follows from a call's end.
func apply(tx *Tx, r *history.Row) error {
	scope, moves := r.Scope()
	switch {
	case !moves:
		return nil
	case history.Closes(r.Outcome):
		return succeeded(tx, r, scope)
	case history.Opens(r.Outcome):
		return failed(tx, r, scope)
	}
	return nil
}

func succeeded(tx *Tx, r *history.Row, scope history.Scope) error {
	for _, covered := range scope.Covers() {
		id, found, err := findScope(tx, covered)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if r.Everything {
			if _, err := tx.Exec(closeAll, id, r.Started.UnixMicro()); err != nil {
				return err
			}
			continue
		}
		if some, err := hasFailing(tx, id); err != nil {
			return err
		} else if !some {
			continue
		}
		keys, err := keysOf(tx, r)
		if err != nil {
			return err
		}
		if err := tx.Dialect.RemoveKeys(tx, id, keys, failedUntil, r.Started.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// failed opens the keys of a call, but for those that a success which began later covers, as calls may be written in any order.
func failed(tx *Tx, r *history.Row, scope history.Scope) error {
	id, err := enterScope(tx, scope)
	if err != nil {
		return err
	}
	keys, err := uncovered(tx, r, scope)
	if err != nil || len(keys) == 0 {
		return err
	}
	ended := r.Ended.UnixMicro()
	cause := []any{id, r.App, string(r.Outcome), short(r.OutcomeCause), short(r.ErrorCode), r.Reason}
	var settled bool
	if err := tx.QueryRow(isSettled, append(cause, ended)...).Scan(&settled); err != nil || settled {
		return err
	}
	// A group without keys is over: what fails now is another one.
	if _, err := tx.Exec("DELETE FROM failures WHERE "+sameCause+" AND NOT EXISTS (SELECT 1 FROM failing WHERE failure = failures.id)", cause...); err != nil {
		return err
	}
	var failure int64
	if err := tx.QueryRow(`INSERT INTO failures (scope, app, outcome, outcome_cause, error_code, reason, first, last, tries, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (scope, app, outcome, outcome_cause, error_code, reason) DO UPDATE SET
	tries = failures.tries + 1,
	first = CASE WHEN excluded.first < failures.first THEN excluded.first ELSE failures.first END,
	request_id = CASE WHEN excluded.last >= failures.last THEN excluded.request_id ELSE failures.request_id END,
	last = CASE WHEN excluded.last > failures.last THEN excluded.last ELSE failures.last END
RETURNING id`, append(cause, ended, ended, r.RequestID)...).Scan(&failure); err != nil {
		return err
	}
	tx.noteFailing(id, true)
	return tx.Dialect.FailKeys(tx, id, keys, failure, ended)
}

// uncovered returns the keys of a call that failed which no success that began afterwards covers.
func uncovered(tx *Tx, r *history.Row, scope history.Scope) ([]any, error) {
	keys, err := keysOf(tx, r)
	if err != nil {
		return nil, err
	}
	later, err := scan(scanEffect)(tx.Query(laterSuccesses, r.Tenant, r.Ended.UnixMicro()))
	if err != nil {
		return nil, err
	}
	for i := range later {
		of, moves := later[i].Scope()
		if !moves || !slices.Contains(of.Covers(), scope) {
			continue
		}
		if later[i].Everything {
			return nil, nil
		}
		if r.Everything {
			continue
		}
		covered, err := keysOf(tx, &later[i])
		if err != nil {
			return nil, err
		}
		known := make(map[any]bool, len(covered))
		for _, key := range covered {
			known[mapKey(key)] = true
		}
		keys = slices.DeleteFunc(keys, func(key any) bool { return known[mapKey(key)] })
	}
	return keys, nil
}

// mapKey returns a key in a form that a map takes.
func mapKey(key any) any {
	if raw, ok := key.([]byte); ok {
		return string(raw)
	}
	return key
}

// withdraw takes back what followed from an end that was only supposed.
func withdraw(tx *Tx, r *history.Row, supposed int64) error {
	scope, moves := r.Scope()
	if !moves {
		return nil
	}
	id, found, err := findScope(tx, scope)
	if err != nil || !found {
		return err
	}
	keys, err := keysOf(tx, r)
	if err != nil {
		return err
	}
	return tx.Dialect.RemoveKeys(tx, id, keys, "ended = ? AND failure IN (SELECT id FROM failures WHERE outcome_cause = ?)", supposed, history.NoEnd)
}
