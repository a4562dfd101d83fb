package erpsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// historyNamespace is that of the modules that keep a history.
const historyNamespace = "erpsync.history"

// journals are the histories in use, by what they are: a file has one handle in the process, over reloads and sites. Each
// handler holds its own as long as calls of it go on, whose ends would be lost otherwise.
var journals = caddy.NewUsagePool()

// pooledJournal is a journal in the pool.
type pooledJournal struct{ *history.Journal }

// Destruct writes what is queued and closes the file.
func (p pooledJournal) Destruct() error {
	p.Close()
	return nil
}

// usedHistory is a configuration's history; nil: it keeps none.
type usedHistory struct {
	driver  history.Driver
	journal *history.Journal
}

// provisionHistory takes the journal. Nothing is opened: a configuration that is only validated touches no file.
func (s *Service) provisionHistory(ctx caddy.Context) error {
	if s.HistoryRaw == nil {
		return nil
	}
	module, err := ctx.LoadModule(s, "HistoryRaw")
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	driver, ok := module.(history.Driver)
	if !ok {
		return fmt.Errorf("history: %T keeps none", module)
	}
	journal, err := takeJournal(driver)
	if err != nil {
		return err
	}
	s.history = &usedHistory{driver, journal}
	var already prometheus.AlreadyRegisteredError
	if err := ctx.GetMetricsRegistry().Register(journal); err != nil && !errors.As(err, &already) {
		return err
	}
	return nil
}

func takeJournal(driver history.Driver) (*history.Journal, error) {
	value, _, err := journals.LoadOrNew(driver.Key(), func() (caddy.Destructor, error) {
		return pooledJournal{history.New(node(), caddy.Log().Named("erpsync.history"))}, nil // it outlives this configuration
	})
	if err != nil {
		return nil, err
	}
	return value.(pooledJournal).Journal, nil
}

// take returns the journal for a handler, which must be released; nil and a release of nothing where there is no history.
func (u *usedHistory) take() (journal *history.Journal, release func(), err error) {
	if u == nil {
		return nil, func() {}, nil
	}
	journal, err = takeJournal(u.driver)
	return journal, u.release, err
}

func (u *usedHistory) open() error {
	if u == nil {
		return nil
	}
	return u.journal.Open(context.Background(), u.driver)
}

func (u *usedHistory) release() { _, _ = journals.Delete(u.driver.Key()) }

// readHistory reads the option history.
func (s *Service) readHistory(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return errUsage
	}
	name := d.Val()
	id := historyNamespace + "." + name
	if _, err := caddy.GetModule(id); err != nil {
		var known []string
		for _, module := range caddy.GetModules(historyNamespace) {
			known = append(known, module.ID.Name())
		}
		slices.Sort(known)
		advice := "want sqlite or postgres"
		if name == "sqlite" || name == "postgres" {
			advice = fmt.Sprintf("%s is there with github.com/caddy-erpsync/caddy-erpsync/history/%s in the build", name, name)
		}
		return d.Errf("history %s: this Caddy keeps %s; %s", name, orNone(known), advice)
	}
	driver, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return err
	}
	s.HistoryRaw = caddyconfig.JSONModuleObject(driver, "driver", name, nil)
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no history"
	}
	return "only " + strings.Join(names, " and ")
}
