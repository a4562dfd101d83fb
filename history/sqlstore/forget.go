package sqlstore

import (
	"context"
	"fmt"
	"math"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// forgetStep is how many rows are removed at once: writers wait meanwhile.
const forgetStep = 1000

// forgettable is something that is kept of a tenant.
type forgettable struct {
	table, where string
	args         []any
	into         *int64
}

// Forget is history.Store's.
func (s *Store) Forget(ctx context.Context, filter history.ForgetFilter) (done history.Forgotten, err error) {
	if filter.Tenant == "" && filter.Environment == "" {
		return done, history.ErrForgetNothing
	}
	// Onsite tenants are "", so that it is compared whatever it is.
	var of, scopes conditions
	of.add("tenant = ?", clean(filter.Tenant))
	of.equal("environment", filter.Environment)
	scopes.args = append(scopes.args, of.args...)
	within := "scope IN (SELECT id FROM scopes" + of.where() + ")"
	ofApp := within
	if of.equal("app", filter.App); filter.App != "" {
		ofApp += " AND app = ?"
	}
	var others int64
	for _, f := range []forgettable{
		{"calls", of.where(), of.args, &done.Calls},
		{"failing", " WHERE failure IN (SELECT id FROM failures WHERE " + ofApp + ")", of.args, &done.FailingKeys},
		{"failures", " WHERE " + ofApp, of.args, &done.Failures},
		{"closures", " WHERE " + ofApp, of.args, &done.Closures},
		{"days", of.where(), of.args, &done.Days},
		{"refusals", of.where(), of.args, &others},
		{"latest", of.where(), of.args, &others},
	} {
		if err := s.forget(ctx, f, &filter); err != nil {
			return done, err
		}
	}
	if filter.DryRun {
		return done, nil
	}
	return done, s.Change(ctx, func(tx *Tx) error { // another app may have the same
		if err := lockForgotten(tx, &filter); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM scopes WHERE id IN (SELECT id FROM scopes WHERE tenant = ?1"+environmentOnly(filter)+") AND NOT EXISTS (SELECT 1 FROM failures WHERE scope = scopes.id) AND NOT EXISTS (SELECT 1 FROM failing WHERE scope = scopes.id) AND NOT EXISTS (SELECT 1 FROM closures WHERE scope = scopes.id)", scopes.args...)
		return err
	})
}

func environmentOnly(filter history.ForgetFilter) string {
	if filter.Environment == "" {
		return ""
	}
	return " AND environment = ?2"
}

// keyColumns are what tells the rows of a table apart; tables that are not among them have few.
var keyColumns = map[string]string{
	"calls": "id", "failures": "id", "days": "id", "failing": "scope, key",
	"refusals": dayColumns + ", reason", "latest": "environment, tenant, app, connection",
}

// lockForgotten lets nobody add to what fails in a tenant while it is removed: a key without its group would stay for ever.
func lockForgotten(tx *Tx, filter *history.ForgetFilter) error {
	var of conditions
	of.add("tenant = ?", clean(filter.Tenant))
	of.equal("environment", filter.Environment)
	tenants, err := scan(func(t *Tenant, scan func(...any) error) error { return scan(&t.Environment, &t.Tenant) })(tx.Query("SELECT DISTINCT environment, tenant FROM scopes"+of.where(), of.args...))
	if err != nil {
		return err
	}
	return lock(tx, tenants)
}

// forget removes what is there in steps, or counts it.
func (s *Store) forget(ctx context.Context, f forgettable, filter *history.ForgetFilter) error {
	if filter.DryRun {
		return s.Read(ctx, func(tx *Tx) error {
			return tx.QueryRow("SELECT count(*) FROM "+f.table+f.where, f.args...).Scan(f.into)
		})
	}
	if f.table == "failures" { // a call may have failed since its keys were removed
		f.where += " AND NOT EXISTS (SELECT 1 FROM failing WHERE failure = failures.id)"
	}
	remove, most := "DELETE FROM "+f.table+f.where, int64(math.MaxInt64)
	if keys := keyColumns[f.table]; keys != "" {
		remove, most = fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s%s LIMIT %d)", f.table, keys, keys, f.table, f.where, forgetStep), forgetStep
	}
	for {
		var removed int64
		err := s.Change(ctx, func(tx *Tx) (err error) {
			if err := lockForgotten(tx, filter); err != nil {
				return err
			}
			removed, err = tx.Exec(remove, f.args...)
			return err
		})
		*f.into += removed
		if err != nil || removed < most {
			return err
		}
	}
}
