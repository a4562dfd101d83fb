package sqlite

import (
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

// dialect is SQLite's. A transaction that writes is alone from its beginning (_txlock), so that it needs no further lock, and
// all gateways of a file have one clock.
type dialect struct{}

func (dialect) Text(statement string) string                      { return statement }
func (dialect) Classify(err error) error                          { return classify(err) }
func (dialect) Repeats(error) bool                                { return false }
func (dialect) Begin(*sqlstore.Tx) error                          { return nil }
func (dialect) Lock(*sqlstore.Tx, []sqlstore.Tenant) error        { return nil }
func (dialect) Ahead(*sqlstore.Tx) (ahead time.Duration, _ error) { return 0, nil }
func (dialect) Key(key any) any                                   { return key }

func (dialect) RemoveKeys(tx *sqlstore.Tx, scope int64, keys []any, condition string, args ...any) error {
	text := sqlstore.RemoveKey + condition
	for _, key := range keys {
		if _, err := tx.Exec(text, append([]any{scope, key}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (dialect) FailKeys(tx *sqlstore.Tx, scope int64, keys []any, failure, ended int64) error {
	for _, key := range keys {
		if _, err := tx.Exec(sqlstore.FailKey, scope, key, failure, ended); err != nil {
			return err
		}
	}
	return nil
}
