package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/uuid"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// The customers of the story, by their names for people.
var customers = []struct{ tenant, name string }{{"Cust12345", "Uno AS"}, {"Cust54321", "Dos AB"}, {"Cust20001", "Tres ApS"}}

// The ERP connections of the story: one that works, and one whose ERP fails in the sandbox.
const works, fails = 612, 613

// writeTenants names the customers in the tenants file.
func writeTenants(dir string, so *sandbox.Sandbox) error {
	var tenants []map[string]any
	for _, c := range customers {
		tenants = append(tenants, map[string]any{"tenant": c.tenant, "name": c.name, "system_token": so.SystemToken("erp", c.tenant)})
	}
	file, err := json.MarshalIndent(map[string]any{"tenants": tenants}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tenants.json"), file, 0o600)
}

// writePast fills a history with a month that is made up, so that the console has something to show. Whatever failed in it was
// cured. What is of today is real.
func writePast(ctx context.Context, file, environment string, now time.Time) (err error) {
	caddyContext, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	driver, err := openDriver(caddyContext, file)
	if err != nil {
		return err
	}
	store, err := driver.Open(ctx, history.Gateway{Node: "demo", Started: now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	random := rand.New(rand.NewPCG(6, 12)) //nolint:gosec // the same past each time
	var rows []history.Row
	for day := 29; day >= 1; day-- {
		for i, c := range customers {
			for n := range 6 + random.IntN(5+4*i) {
				row := history.Row{
					RequestID: uuid.NewString(), Node: "demo", Environment: environment, App: "erp", Tenant: c.tenant, Principal: Issuer + "#nightly-sync", Scheme: "jwt", Credential: "system SOTicket",
					Operation: superoffice.ForceResync, Understood: true, Connection: works, Decision: "allowed", Status: http.StatusOK, Sends: 1, Outcome: outcome.OK,
					Started: now.Add(-time.Duration(day)*24*time.Hour + time.Duration(n*37+i)*time.Minute),
				}
				keys := superoffice.Arguments{Keys: []int32{int32(200 + random.IntN(800)), int32(1000 + random.IntN(9000))}}
				row.Keys, row.KeyCount = history.PackKeys(&keys), len(keys.Keys)
				row.Sent, row.Ended = row.Started.Add(15*time.Millisecond), row.Started.Add(time.Duration(300+random.IntN(4000))*time.Millisecond)
				if random.IntN(12) == 0 {
					failed := row
					failed.RequestID, failed.Outcome, failed.ErrorCode, failed.UserExplanation = uuid.NewString(), outcome.Error, "CONNECTOR_TIMEOUT", "The ERP system did not answer."
					failed.Started, failed.Sent, failed.Ended = row.Started.Add(-9*time.Minute), row.Sent.Add(-9*time.Minute), row.Sent.Add(-8*time.Minute)
					rows = append(rows, failed)
				}
				rows = append(rows, row)
			}
		}
	}
	_, err = store.Import(ctx, rows)
	return err
}

// openDriver returns the driver of a file. It is Caddy's to find: many tests import this package, and none of them needs SQLite.
func openDriver(ctx caddy.Context, file string) (history.Driver, error) {
	info, err := caddy.GetModule("erpsync.history.sqlite")
	if err != nil {
		return nil, err
	}
	module := info.New()
	options, err := json.Marshal(map[string]string{"path": file})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(options, module); err != nil {
		return nil, err
	}
	provisioner, provisions := module.(caddy.Provisioner)
	driver, drives := module.(history.Driver)
	if !provisions || !drives {
		return nil, fmt.Errorf("%T keeps no history", module)
	}
	return driver, provisioner.Provision(ctx)
}

// story makes the calls of today that the console tells of: Uno's connection fails still, of Dos what failed was cured, and
// Tres has taken its consent back.
func (d *demo) story(ctx context.Context, provider *Provider) error {
	call := func(tenant, body, want string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.site+strings.Replace(path, "Cust12345", tenant, 1), strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+provider.Token(tenant, time.Hour))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if got := resp.Header.Get("ErpSync-Outcome"); got != want && !strings.Contains(string(answer), want) {
			return fmt.Errorf("a call of the story for %s came to %q, want %s: %s", tenant, got, want, answer)
		}
		return nil
	}
	resync := func(connection int, keys string) string {
		return fmt.Sprintf(`{"ErpConnectionId":%d,"InternalKeyIds":[%s]}`, connection, keys)
	}
	steps := []func() error{
		func() error { return call("Cust12345", resync(works, "386,230"), "ok") },
		func() error { return call("Cust12345", resync(fails, "386,412"), "error") },
		func() error { return call("Cust54321", resync(fails, "501,502"), "error") },
		func() error {
			d.so.Answer(func(string, int) *sandbox.Answer {
				return &sandbox.Answer{Body: `{"IsOk":true,"Status":"Ok","UserExplanation":"2 records were updated."}`}
			})
			defer d.so.Answer(nil)
			return call("Cust54321", resync(fails, "501,502"), "ok")
		},
		func() error { return call("Cust20001", resync(works, "77"), "ok") },
		func() error {
			d.so.Expire("ticket")
			d.so.Revoke("erp", "Cust20001")
			return call("Cust20001", resync(works, "77,78"), "consent_required")
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
