package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// usageConditions says which of days or refusals are wanted.
func usageConditions(filter *history.UsageFilter) (c conditions) {
	c.equal("tenant", filter.Tenant)
	c.equal("environment", filter.Environment)
	c.equal("app", filter.App)
	if !filter.From.IsZero() {
		c.add("day >= ?", dayNumber(filter.From))
	}
	if !filter.To.IsZero() {
		c.add("day < ?", dayNumber(filter.To.Add(24*time.Hour-1)))
	}
	return c
}

// Usage is history.Store's.
func (s *Store) Usage(ctx context.Context, filter history.UsageFilter) (usages history.Usages, err error) {
	err = s.Read(ctx, func(tx *Tx) error {
		usages = history.Usages{}
		since, err := fact(tx, factSince)
		if err != nil {
			return err
		}
		usages.Since = time.UnixMicro(since)
		index, err := readDays(tx, &filter, &usages)
		if err != nil {
			return err
		}
		return readRefusals(tx, &filter, &usages, index)
	})
	return usages, err
}

// ofConnection is what is counted apart.
const (
	ofConnection = "environment, tenant, app, connection"
	groupWhole   = " GROUP BY " + ofConnection
)

// readDays reads what was counted, and returns where each key is.
func readDays(tx *Tx, filter *history.UsageFilter, usages *history.Usages) (map[dayKey]int, error) {
	c := usageConditions(filter)
	day, group, sums := "day", "", strings.Join(slices.Concat(countColumns, maxColumns), ", ")
	if filter.Whole {
		day, group, sums = "0", groupWhole, "sum("+strings.Join(countColumns, "), sum(")+"), max("+strings.Join(maxColumns, "), max(")+")"
	}
	rows, err := tx.Query("SELECT "+day+", "+ofConnection+", "+sums+" FROM days"+c.where()+group+" ORDER BY "+ofConnection+", 1", c.args...)
	if err != nil {
		return nil, err
	}
	index := make(map[dayKey]int)
	for rows.Next() {
		u, key, err := scanUsage(rows.Scan)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		if !filter.Whole {
			u.Day = time.Unix(key.day*secondsOfDay, 0).UTC()
		}
		index[key] = len(usages.Entries)
		usages.Entries = append(usages.Entries, u)
	}
	return index, errors.Join(rows.Err(), rows.Close())
}

// readRefusals adds the refused calls, by reason.
func readRefusals(tx *Tx, filter *history.UsageFilter, usages *history.Usages, index map[dayKey]int) error {
	c := usageConditions(filter)
	day, group, calls := "day", "", "calls"
	if filter.Whole {
		day, group, calls = "0", groupWhole+", reason", "sum(calls)"
	}
	rows, err := tx.Query("SELECT "+day+", "+ofConnection+", reason, "+calls+" FROM refusals"+c.where()+group, c.args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		var key dayKey
		var reason string
		var n int64
		if err := rows.Scan(&key.day, &key.environment, &key.tenant, &key.app, &key.connection, &reason, &n); err != nil {
			return errors.Join(err, rows.Close())
		}
		if i, found := index[key]; found && n != 0 {
			if usages.Entries[i].Refused == nil {
				usages.Entries[i].Refused = make(map[string]int64)
			}
			usages.Entries[i].Refused[reason] = n
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// scanUsage reads dayColumns, countColumns and maxColumns.
func scanUsage(scan func(...any) error) (u history.Usage, key dayKey, err error) {
	classes := outcome.Classes()
	outcomes := make([]int64, len(classes))
	var refused, duration, longest, success, failure int64
	into := []any{&key.day, &key.environment, &key.tenant, &key.app, &key.connection, &u.Calls, &u.Keys, &u.Replayed, &u.Questions, &refused, &u.Timed, &duration}
	for i := range outcomes {
		into = append(into, &outcomes[i])
	}
	for i := range u.Within {
		into = append(into, &u.Within[i])
	}
	if err := scan(append(into, &longest, &success, &failure)...); err != nil {
		return u, key, err
	}
	u.Environment, u.Tenant, u.App, u.Connection = key.environment, key.tenant, key.app, key.connection
	u.Sum, u.Longest = time.Duration(duration)*time.Microsecond, time.Duration(longest)*time.Microsecond
	u.Outcomes = make(map[outcome.Class]int64)
	for i, n := range outcomes {
		if n != 0 {
			u.Outcomes[classes[i]] = n
		}
	}
	u.LastSuccess, u.LastFailure = timeOrNone(success), timeOrNone(failure)
	return u, key, nil
}

// timeOrNone is a time of which 0 means none.
func timeOrNone(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}
