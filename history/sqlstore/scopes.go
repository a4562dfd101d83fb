package sqlstore

import (
	"database/sql"
	"errors"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

const (
	scopeColumns = "environment, tenant, connection, kind, actor_type, no_blank"
	scopeID      = "SELECT id FROM scopes WHERE environment = ? AND tenant = ? AND connection = ? AND kind = ? AND actor_type = ? AND no_blank = ?"
)

func scopeValues(s history.Scope) []any {
	return []any{s.Environment, s.Tenant, s.Connection, string(s.Kind), short(s.ActorType), s.NoBlankValues}
}

// findScope returns the number of a scope, if there is one.
func findScope(tx *Tx, s history.Scope) (id int64, found bool, err error) {
	id, known := tx.scopes[s]
	if known {
		return id, id != 0, nil
	}
	err = tx.QueryRow(scopeID, scopeValues(s)...).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	tx.noteScope(s, id)
	return id, id != 0, nil
}

func (t *Tx) noteScope(s history.Scope, id int64) {
	if t.scopes == nil {
		t.scopes = make(map[history.Scope]int64)
	}
	t.scopes[s] = id
}

// enterScope returns the number of a scope, which is there afterwards.
func enterScope(tx *Tx, s history.Scope) (id int64, err error) {
	id, found, err := findScope(tx, s)
	if err != nil || found {
		return id, err
	}
	if err = tx.QueryRow("INSERT INTO scopes ("+scopeColumns+") VALUES (?, ?, ?, ?, ?, ?) RETURNING id", scopeValues(s)...).Scan(&id); err != nil {
		return 0, err
	}
	tx.noteScope(s, id)
	return id, nil
}

// hasFailing reports whether a scope may have keys that fail. Once it had some in this transaction, it counts as having them.
func hasFailing(tx *Tx, scope int64) (some bool, err error) {
	some, known := tx.failing[scope]
	if known {
		return some, nil
	}
	if err := tx.QueryRow(failsInScope, scope).Scan(&some); err != nil {
		return false, err
	}
	tx.noteFailing(scope, some)
	return some, nil
}

func (t *Tx) noteFailing(scope int64, some bool) {
	if t.failing == nil {
		t.failing = make(map[int64]bool)
	}
	t.failing[scope] = some
}
