package sqlstore

import "github.com/caddy-erpsync/caddy-erpsync/history"

// Replay finds what fails from the calls that an earlier build wrote.
func Replay(tx *Tx) error {
	type call struct {
		id     int64
		effect history.Row
	}
	last := int64(0)
	for {
		calls, err := scan(func(c *call, scan func(...any) error) error {
			return scanEffect(&c.effect, func(into ...any) error { return scan(append(into, &c.id)...) })
		})(tx.Query("SELECT "+effectColumns+", id FROM calls WHERE ended IS NOT NULL AND id > ? ORDER BY id LIMIT 1000", last))
		if err != nil || len(calls) == 0 {
			return err
		}
		for i := range calls {
			if err := apply(tx, &calls[i].effect); err != nil {
				return err
			}
		}
		last = calls[len(calls)-1].id
	}
}
