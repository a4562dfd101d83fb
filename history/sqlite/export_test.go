package sqlite

import (
	"database/sql"
	"testing"
)

// Runs returns how often a file was opened by gateways.
func Runs(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM gateways").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
