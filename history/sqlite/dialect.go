package sqlite

import (
	"strconv"
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
	if numbers, ok := numbersOf(keys); ok {
		_, err := tx.Exec("DELETE FROM failing WHERE scope = ? AND key IN (SELECT value FROM json_each(?)) AND "+condition, append([]any{scope, numbers}, args...)...)
		return err
	}
	text := sqlstore.RemoveKey + condition
	for _, key := range keys {
		if _, err := tx.Exec(text, append([]any{scope, key}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (dialect) FailKeys(tx *sqlstore.Tx, scope int64, keys []any, failure, ended int64) error {
	if numbers, ok := numbersOf(keys); ok {
		_, err := tx.Exec(failNumbers, scope, failure, ended, numbers)
		return err
	}
	for _, key := range keys {
		if _, err := tx.Exec(sqlstore.FailKey, scope, key, failure, ended); err != nil {
			return err
		}
	}
	return nil
}

// failNumbers is sqlstore.FailKey for many keys.
const failNumbers = `INSERT INTO failing (scope, key, failure, ended) SELECT ?, value, ?, ? FROM json_each(?) WHERE TRUE
ON CONFLICT (scope, key) DO UPDATE SET failure = excluded.failure, ended = excluded.ended WHERE excluded.ended >= failing.ended`

// fewKeys are changed one by one, with statements that are prepared.
const fewKeys = 16

// numbersOf returns many internal keys as JSON, so that one statement changes them all; false for other keys, and for few.
func numbersOf(keys []any) (numbers string, ok bool) {
	if len(keys) <= fewKeys {
		return "", false
	}
	list := make([]byte, 0, 8*len(keys))
	for _, key := range keys {
		number, ok := key.(int64)
		if !ok {
			return "", false
		}
		list = strconv.AppendInt(append(list, ','), number, 10)
	}
	list[0] = '['
	return string(append(list, ']')), true
}
