package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

var tenantOrders = map[string]string{
	history.ByTenant:      "tenant, environment",
	history.ByLastCall:    "max(last_at) DESC, tenant, environment",
	history.ByLastFailure: "max(failure_at) DESC, tenant, environment",
	history.ByLastSuccess: "max(success_at), tenant, environment",
}

// likeEscaper makes a text match itself.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Tenants is history.Store's.
func (s *Store) Tenants(ctx context.Context, filter history.TenantFilter) (page history.TenantPage, err error) {
	order, known := tenantOrders[filter.Order]
	if !known {
		return page, fmt.Errorf("order %q: unknown", filter.Order)
	}
	now := filter.Now
	if now.IsZero() {
		now = time.Now()
	}
	err = s.Read(ctx, func(tx *Tx) (err error) {
		if page, err = readTenants(tx, &filter, order); err != nil || len(page.Tenants) == 0 {
			return err
		}
		return (&overview{tx: tx, page: &page, app: clean(filter.App), index: make(map[connectionKey]*history.ConnectionUsage)}).fill(now)
	})
	return page, err
}

// tenantConditions says which tenants are wanted.
func tenantConditions(filter *history.TenantFilter) (c conditions) {
	c.equal("environment", filter.Environment)
	c.equal("app", filter.App)
	if filter.Search != "" {
		also := ""
		if len(filter.Also) > 0 {
			also = " OR tenant IN (" + placeholders(len(filter.Also)) + ")"
		}
		c.add(`(lower(tenant) LIKE ? ESCAPE '\'`+also+")", append([]any{"%" + likeEscaper.Replace(strings.ToLower(clean(filter.Search))) + "%"}, anys(filter.Also)...)...)
	}
	if filter.Failing {
		c.add("(environment, tenant, app) IN (SELECT s.environment, s.tenant, f.app FROM failures f JOIN scopes s ON s.id = f.scope WHERE EXISTS (SELECT 1 FROM failing WHERE failure = f.id))")
	}
	return c
}

// readTenants reads which tenants are on the page.
func readTenants(tx *Tx, filter *history.TenantFilter, order string) (page history.TenantPage, err error) {
	since, err := fact(tx, factSince)
	if err != nil {
		return page, err
	}
	page.Since = time.UnixMicro(since)
	var oldest sql.NullInt64
	if err := tx.QueryRow("SELECT min(started) FROM calls").Scan(&oldest); err != nil {
		return page, err
	}
	page.Oldest = timeOf(oldest)
	c := tenantConditions(filter)
	const grouped = " GROUP BY environment, tenant"
	if err := tx.QueryRow("SELECT count(*) FROM (SELECT 1 FROM latest"+c.where()+grouped+") AS found", c.args...).Scan(&page.Total); err != nil {
		return page, err
	}
	page.Tenants, err = scan(func(t *history.TenantUsage, scan func(...any) error) error { return scan(&t.Environment, &t.Tenant) })(
		tx.Query(fmt.Sprintf("SELECT environment, tenant FROM latest%s%s ORDER BY %s LIMIT %d OFFSET %d", c.where(), grouped, order, filter.Size(), max(filter.Offset, 0)), c.args...))
	return page, err
}

// overview fills in how the tenants of a page are.
type overview struct {
	tx    *Tx
	page  *history.TenantPage
	app   string
	index map[connectionKey]*history.ConnectionUsage
}

// of says which tenants are on the page. Of two environments the same tenant may be read once too often.
func (o *overview) of(prefix string) (c conditions) {
	names := make([]string, 0, len(o.page.Tenants))
	for _, t := range o.page.Tenants {
		names = append(names, t.Tenant)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	c.add(prefix+"tenant IN ("+placeholders(len(names))+")", anys(names)...)
	return c
}

func (o *overview) fill(now time.Time) error {
	if err := o.connections(); err != nil {
		return err
	}
	month := o.of("")
	month.add("day >= ?", dayNumber(now)-29)
	month.add("day <= ?", dayNumber(now))
	if err := o.brief("SELECT environment, tenant, app, connection, sum(calls), sum(keys), "+sumOf(history.Closes)+", "+sumOf(history.Opens)+", sum(refused) FROM days"+month.where()+" GROUP BY environment, tenant, app, connection", month.args, func(u *history.ConnectionUsage) *history.Brief { return &u.Month }); err != nil {
		return err
	}
	day := o.of("")
	day.add("started >= ?", now.Add(-24*time.Hour).UnixMicro())
	day.add("started <= ?", now.UnixMicro())
	day.add("ended IS NOT NULL")
	if err := o.brief("SELECT environment, tenant, app, CASE WHEN connection > 0 THEN connection ELSE 0 END, count(*), sum(CASE WHEN "+ran+" THEN key_count ELSE 0 END), "+
		"sum(CASE WHEN "+ran+" AND outcome IN ('ok', 'info', 'warning') THEN 1 ELSE 0 END), sum(CASE WHEN "+ran+" AND "+failedOutcome+" THEN 1 ELSE 0 END), sum(CASE WHEN outcome = '' AND decision <> 'replayed' THEN 1 ELSE 0 END) FROM calls"+
		day.where()+" GROUP BY environment, tenant, app, CASE WHEN connection > 0 THEN connection ELSE 0 END", day.args, func(u *history.ConnectionUsage) *history.Brief { return &u.Day }); err != nil {
		return err
	}
	return o.failing()
}

// ran is moved, and that it was not refused, as a condition.
var ran = "(decision <> 'replayed' AND outcome <> '' AND operation IN (" + resyncs + "))"

// sumOf sums the columns of the outcomes up that do this.
func sumOf(which func(outcome.Class) bool) string {
	var columns []string
	for _, class := range outcome.Classes() {
		if which(class) {
			columns = append(columns, "o_"+string(class))
		}
	}
	return "sum(" + strings.Join(columns, " + ") + ")"
}

// connections reads what is there at all, and the last calls.
func (o *overview) connections() error {
	place := make(map[[2]string]*history.TenantUsage, len(o.page.Tenants))
	for i := range o.page.Tenants {
		t := &o.page.Tenants[i]
		place[[2]string{t.Environment, t.Tenant}] = t
	}
	c := o.of("")
	c.equal("app", o.app)
	rows, err := o.tx.Query("SELECT environment, tenant, app, connection, "+strings.Join(lastColumns, ", ")+" FROM latest"+c.where()+" ORDER BY app, connection", c.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var keys []connectionKey
	for rows.Next() {
		var k connectionKey
		var last latest
		into := []any{&k.environment, &k.tenant, &k.app, &k.connection}
		for i := range last {
			into = append(into, &last[i].at, &last[i].request, &last[i].outcome, &last[i].reason, &last[i].errors)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if t := place[[2]string{k.environment, k.tenant}]; t != nil {
			keys = append(keys, k)
			t.Connections = append(t.Connections, history.ConnectionUsage{App: k.app, Connection: k.connection, Last: last[0].told(), LastSuccess: last[1].told(), LastFailure: last[2].told()})
		}
	}
	for _, k := range keys {
		t := place[[2]string{k.environment, k.tenant}]
		for i := range t.Connections {
			if u := &t.Connections[i]; u.App == k.app && u.Connection == k.connection {
				o.index[k] = u
			}
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// told returns the call; nil if there is none.
func (l lastCall) told() *history.LastCall {
	if l.at == 0 {
		return nil
	}
	return &history.LastCall{At: time.UnixMicro(l.at), RequestID: l.request, Outcome: outcome.Class(l.outcome), Reason: l.reason, ErrorCode: l.errors}
}

// brief reads the counts of each connection.
func (o *overview) brief(query string, args []any, of func(*history.ConnectionUsage) *history.Brief) error {
	rows, err := o.tx.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k connectionKey
		var b history.Brief
		if err := rows.Scan(&k.environment, &k.tenant, &k.app, &k.connection, &b.Calls, &b.Keys, &b.Succeeded, &b.Failed, &b.Refused); err != nil {
			return err
		}
		if u := o.index[k]; u != nil {
			*of(u) = b
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// failing reads how many keys fail.
func (o *overview) failing() error {
	c := o.of("s.")
	rows, err := o.tx.Query("SELECT s.environment, s.tenant, f.app, s.connection, (SELECT count(*) FROM failing WHERE failure = f.id), EXISTS (SELECT 1 FROM failing WHERE scope = f.scope AND key = ? AND failure = f.id) FROM failures f JOIN scopes s ON s.id = f.scope"+c.where(), append([]any{o.tx.Dialect.Key(Everything)}, c.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k connectionKey
		var keys int
		var everything bool
		if err := rows.Scan(&k.environment, &k.tenant, &k.app, &k.connection, &keys, &everything); err != nil {
			return err
		}
		if u := o.index[k]; u != nil {
			if everything {
				keys--
			}
			u.Failing += keys
			u.Everything = u.Everything || everything
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
