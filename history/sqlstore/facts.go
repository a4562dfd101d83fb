package sqlstore

import (
	"database/sql"
	"errors"
)

// What facts knows.
const (
	factSince   = "usage_since" // when counting began
	factTrimmed = "trimmed"     // when the last of the rows began that were removed
)

// fact returns a time; 0: nothing is known.
func fact(tx *Tx, name string) (value int64, err error) {
	err = tx.QueryRow("SELECT value FROM facts WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return value, err
}

// raise notes a time, unless a later one is known.
func raise(tx *Tx, name string, value int64) error {
	_, err := tx.Exec("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "+larger("facts", "value"), name, value)
	return err
}
