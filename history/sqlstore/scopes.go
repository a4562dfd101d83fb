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
	err = tx.QueryRow(scopeID, scopeValues(s)...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return id, err == nil, err
}

// enterScope returns the number of a scope, which is there afterwards.
func enterScope(tx *Tx, s history.Scope) (id int64, err error) {
	id, found, err := findScope(tx, s)
	if err != nil || found {
		return id, err
	}
	err = tx.QueryRow("INSERT INTO scopes ("+scopeColumns+") VALUES (?, ?, ?, ?, ?, ?) RETURNING id", scopeValues(s)...).Scan(&id)
	return id, err
}
