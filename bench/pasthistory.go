package main

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/uuid"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// rowsAtOnce is how many rows a transaction has that fills a history.
	rowsAtOnce = 20_000
	// callsTogether is how many calls of a tenant follow each other: what is counted by tenant and day is then written once for all of them.
	callsTogether = 50
	// past is how far back a history goes.
	past = 30 * 24 * time.Hour
	// failsEvery is how many calls there are for one that failed.
	failsEvery = 200
)

// pastCall is one of the calls that a history is filled with.
func pastCall(i, rows, tenants int, environment string, now time.Time) history.Row {
	keys := superoffice.Arguments{Connection: 612, Keys: []int32{int32(i%1_000_003) + 1}}
	started := now.Add(-past + time.Duration(float64(past)*float64(i)/float64(rows)))
	row := history.Row{
		RequestID: uuid.NewString(), Node: "past", Environment: environment, App: "erp", Tenant: crowdTenant(i / callsTogether % tenants), Principal: "nightly-sync", Scheme: "jwt", Credential: "system soticket",
		Operation: superoffice.ForceResync, Understood: true, Connection: keys.Connection, Keys: history.PackKeys(&keys), KeyCount: len(keys.Keys), Decision: "allowed", Outcome: outcome.OK, Status: 200, Sends: 1,
		Started: started, Sent: started, Ended: started.Add(time.Second),
	}
	if i%failsEvery == 0 {
		row.Outcome, row.ErrorCode = outcome.Error, "CONNECTOR_TIMEOUT"
	}
	return row
}

// fillHistory writes a history of past calls as a gateway would that imports them.
func fillHistory(ctx context.Context, path string, rows, tenants int, environment string) (err error) {
	provisioning, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	driver := &sqlite.SQLite{Path: path, MaxSize: 64 << 30}
	if err := driver.Provision(provisioning); err != nil {
		return err
	}
	store, err := driver.Open(ctx, history.Gateway{Node: "past", Started: time.Now()})
	if err != nil {
		return err
	}
	defer func() {
		if closed := store.Close(); err == nil {
			err = closed
		}
	}()
	now := time.Now()
	batch := make([]history.Row, 0, rowsAtOnce)
	for i := range rows {
		if batch = append(batch, pastCall(i, rows, tenants, environment, now)); len(batch) < rowsAtOnce && i+1 < rows {
			continue
		}
		taken, err := store.Import(ctx, batch)
		if err != nil {
			return err
		}
		if taken != len(batch) {
			return fmt.Errorf("%d of %d rows were taken", taken, len(batch))
		}
		batch = batch[:0]
	}
	return nil
}
