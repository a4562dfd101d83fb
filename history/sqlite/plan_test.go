package sqlite

import (
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

// What is asked at every call or by people must not read through a table.
func TestNothingReadsThroughATable(t *testing.T) {
	t.Parallel()
	s := openAt(t, newPath(t), thisNode)
	for _, question := range append(append(sqlstore.Frequent(), sqlstore.Retrying()...),
		"UPDATE calls SET ended = 1 WHERE ended IS NULL AND run IN (SELECT run FROM gateways WHERE node = ? AND NOT over)",
		"SELECT id FROM calls WHERE started < ? ORDER BY started LIMIT 1",
		"SELECT count(*) FROM failing WHERE failure = ?",
	) {
		rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+question, make([]any, strings.Count(question, "?"))...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			t.Log(detail)
			if strings.HasPrefix(detail, "SCAN") && detail != "SCAN gateways" && detail != "SCAN CONSTANT ROW" && detail != "SCAN calls USING INDEX calls_open" {
				t.Errorf("%s: %s", question, detail)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
