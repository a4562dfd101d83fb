package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	keysOfGroup = "SELECT key, ended FROM failing WHERE failure = ?"

	// Unsettled is the condition of the index calls_unsettled, by tenant and end: every outcome but a success.
	Unsettled = "outcome IN ('error', 'fault', 'contradictory', 'unreachable', 'unknown', 'unreadable', 'empty', 'masked', 'accepted')"
	endedAt   = "SELECT " + repeatColumns + " FROM calls WHERE " + Unsettled + " AND tenant = ? AND ended = ?"

	// What was sent is a success, is none, or is under way.
	sentSince = laterSuccesses + ` AND sent IS NOT NULL
UNION ALL SELECT ` + effectColumns + " FROM calls WHERE " + Unsettled + ` AND tenant = ? AND ended >= ? AND started >= ? AND sent IS NOT NULL AND outcome <> 'unreachable'
UNION ALL SELECT ` + effectColumns + " FROM calls WHERE ended IS NULL AND tenant = ? AND sent >= ?"

	// repeatColumns are those of a call that is to be made once more.
	repeatColumns = effectColumns + ", node, principal, scheme, credential, key_count, stated, decision, status, sends, sent"
)

// Retrying returns the statements that find what is to be tried again, for a driver's tests as Frequent.
func Retrying() []string { return []string{keysOfGroup, endedAt, sentSince} }

// scanRepeat reads what repeatColumns select.
func scanRepeat(r *history.Row, scan func(...any) error) error {
	var stated int
	var sent sql.NullInt64
	err := scanEffect(r, func(effect ...any) error {
		return scan(append(effect, &r.Node, &r.Principal, &r.Scheme, &r.Credential, &r.KeyCount, &stated, &r.Decision, &r.Status, &r.Sends, &sent)...)
	})
	r.Stated = superoffice.Properties(stated)
	if sent.Valid {
		r.Sent = time.UnixMicro(sent.Int64)
	}
	return err
}

// FailedCalls is history.Store's.
func (s *Store) FailedCalls(ctx context.Context, group int64) (failed history.Failed, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		failed = history.Failed{}
		if err := scanFailure(&failed.Failure, tx.QueryRow(selectFailure+" AND f.id = ?", tx.Dialect.Key(Everything), group).Scan); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return history.ErrNoFailure
			}
			return err
		}
		byEnd, err := failingByEnd(tx, group)
		if err != nil {
			return err
		}
		ends := make([]int64, 0, len(byEnd))
		for end := range byEnd {
			ends = append(ends, end)
		}
		slices.Sort(ends)
		for _, end := range ends {
			calls, err := failedAt(tx, &failed.Failure, end, byEnd[end])
			if err != nil {
				return err
			}
			failed.Calls = append(failed.Calls, calls...)
			failed.Lost += len(byEnd[end])
		}
		failed.More = max(len(failed.Calls)-history.MaxFailedCalls, 0)
		failed.Calls = failed.Calls[:len(failed.Calls)-failed.More]
		return nil
	})
	return failed, err
}

// failingKey is a key, and when the call ended that left it failing.
type failingKey struct {
	key   any
	ended int64
}

// failingByEnd returns the keys of a group by when the call ended that left them failing.
func failingByEnd(tx *Tx, group int64) (map[int64]map[any]bool, error) {
	keys, err := scan(func(k *failingKey, scan func(...any) error) error { return scan(&k.key, &k.ended) })(tx.Query(keysOfGroup, group))
	byEnd := make(map[int64]map[any]bool)
	for _, k := range keys {
		if byEnd[k.ended] == nil {
			byEnd[k.ended] = make(map[any]bool)
		}
		byEnd[k.ended][mapKey(k.key)] = true
	}
	return byEnd, err
}

// failedAt returns the calls of a group that ended at that time, with how many of the keys are theirs. It takes those out of
// keys: of two calls that ended in the same moment, a key is failing in the one that began last.
func failedAt(tx *Tx, group *history.Failure, end int64, keys map[any]bool) (calls []history.FailedCall, err error) {
	rows, err := scan(scanRepeat)(tx.Query(endedAt, group.Tenant, end))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b history.Row) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.RequestID, b.RequestID))
	})
	for i := range rows {
		r := &rows[i]
		scope, moves := r.Scope()
		scope.ActorType = short(scope.ActorType)
		if !moves || scope != group.Scope || r.App != group.App || r.Outcome != group.Outcome || short(r.OutcomeCause) != group.OutcomeCause || short(r.ErrorCode) != group.ErrorCode || r.Reason != group.Reason {
			continue
		}
		named, err := keysOf(tx, r)
		if err != nil {
			return nil, fmt.Errorf("request %s: %w", r.RequestID, err)
		}
		call := history.FailedCall{Row: *r}
		for _, key := range named {
			if key = mapKey(key); keys[key] {
				delete(keys, key)
				call.Failing++
			}
		}
		if call.Failing > 0 {
			calls = append(calls, call)
		}
	}
	return calls, nil
}

// SentSince is history.Store's.
func (s *Store) SentSince(ctx context.Context, environment, tenant string, since time.Time, each func(*history.Row) error) error {
	from := since.UnixMicro()
	return s.Read(ctx, func(tx *Tx) (err error) {
		rows, err := tx.Query(sentSince, tenant, from, tenant, from, from, tenant, from)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var r history.Row
			if err := scanEffect(&r, rows.Scan); err != nil {
				return err
			}
			if r.Environment != environment {
				continue
			}
			if err := each(&r); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
