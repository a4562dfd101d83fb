package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// importRun is the run of rows that no gateway wrote.
const importRun = 0

// Enter notes that a process of the gateway begins, and makes the calls unknown that an earlier one of it left open.
func (s *Store) Enter(ctx context.Context, gateway history.Gateway) error {
	s.gateway = gateway
	return s.Change(ctx, func(tx *Tx) error {
		now, err := s.now(tx, time.Now())
		if err != nil {
			return err
		}
		if err := abandon(tx, now, "run IN (SELECT run FROM gateways WHERE node = ? AND NOT over)", gateway.Node); err != nil {
			return err
		}
		if _, err := tx.Exec("UPDATE gateways SET over = TRUE WHERE node = ?", gateway.Node); err != nil {
			return err
		}
		return tx.QueryRow("INSERT INTO gateways (node, started, seen) VALUES (?, ?, ?) RETURNING run", gateway.Node, gateway.Started.UnixMicro(), now.UnixMicro()).Scan(&s.run)
	})
}

// now returns a moment of this process by the clock that all gateways share, the database's.
func (s *Store) now(tx *Tx, now time.Time) (time.Time, error) {
	ahead, err := tx.Dialect.Ahead(tx)
	return now.Add(ahead), err
}

// Beat is history.Store's. How long a gateway has been silent is told by the database's clock, how long a call of this
// process has lasted by its own.
func (s *Store) Beat(ctx context.Context, now time.Time) error {
	return s.Change(ctx, func(tx *Tx) error {
		shared, err := s.now(tx, now)
		if err != nil {
			return err
		}
		known, err := tx.Exec("UPDATE gateways SET seen = ?, over = FALSE WHERE run = ? AND node = ? AND started = ?", shared.UnixMicro(), s.run, s.gateway.Node, s.gateway.Started.UnixMicro())
		if err != nil {
			return err
		}
		if known == 0 {
			return fmt.Errorf("%w: it does not know this gateway any more", history.ErrGone)
		}
		silent := shared.Add(-history.LongestCall).UnixMicro()
		// A gateway that is silent will write no end, nor will one whose row of the end was lost, nor one that has been forgotten.
		if err := abandon(tx, shared, `(run IN (SELECT run FROM gateways WHERE seen < ?) OR run = ? AND sent < ?
OR sent < ? AND NOT EXISTS (SELECT 1 FROM gateways WHERE gateways.run = calls.run))`, silent, s.run, now.Add(-history.LongestCall).UnixMicro(), silent); err != nil {
			return err
		}
		_, err = tx.Exec("DELETE FROM gateways WHERE seen < ? AND run <> ?", silent, s.run)
		return err
	})
}

// Leave says that this gateway is over, so that nobody waits for its heartbeat.
func (s *Store) Leave(ctx context.Context) error {
	return s.Change(ctx, func(tx *Tx) error {
		now, err := s.now(tx, time.Now())
		if err != nil {
			return err
		}
		_, err = tx.Exec("UPDATE gateways SET seen = ? WHERE run = ?", now.UnixMicro(), s.run)
		return err
	})
}

// abandon makes open calls unknown, and their keys failing. When they ended nobody knows: at the latest now.
func abandon(tx *Tx, now time.Time, which string, args ...any) error {
	which = " FROM calls WHERE ended IS NULL AND " + which
	tenants, err := scan(func(t *Tenant, scan func(...any) error) error { return scan(&t.Environment, &t.Tenant) })(tx.Query("SELECT DISTINCT environment, tenant"+which, args...))
	if err != nil || len(tenants) == 0 {
		return err
	}
	if err := lock(tx, tenants); err != nil {
		return err
	}
	// Of a tenant that was not locked, whose call has become silent meanwhile, it is the next heartbeat that tells.
	calls, err := scan(scanEffect)(tx.Query("SELECT "+effectColumns+which, args...))
	if err != nil {
		return err
	}
	locked := make(map[Tenant]bool, len(tenants))
	for _, tenant := range tenants {
		locked[tenant] = true
	}
	tally := newTally(tx)
	for i := range calls {
		r := &calls[i]
		if !locked[tenantOf(r)] {
			continue
		}
		r.Ended, r.Outcome, r.OutcomeCause = now, outcome.Unknown, history.NoEnd
		changed, err := tx.Exec("UPDATE calls SET ended = ?, outcome = ?, outcome_cause = ?, decision = 'allowed' WHERE request_id = ? AND ended IS NULL", now.UnixMicro(), string(r.Outcome), r.OutcomeCause, r.RequestID)
		if err != nil {
			return err
		}
		if changed == 0 { // its end came meanwhile
			continue
		}
		if err := tally.abandoned(r.RequestID); err != nil {
			return err
		}
		if err := apply(tx, r); err != nil {
			return err
		}
	}
	return tally.flush()
}
