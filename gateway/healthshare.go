package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/board"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// shareHealthEvery is how often gateways tell each other how tenants are, beside the calls.
	shareHealthEvery = 3 * time.Second

	// lastShareTimeout bounds the exchange of a gateway that stops.
	lastShareTimeout = 2 * time.Second

	// healthPurpose is what the documents are sealed for.
	healthPurpose = "tenants' health"
)

// sharedHealth exchanges the health of tenants with the other gateways of a store.
type sharedHealth struct {
	store board.Store // nil: nobody shares the store

	mu       sync.Mutex // over an exchange
	cursor   board.Cursor
	versions map[outcome.Member]int64
}

// ShareHealth has tenants' health exchanged with the other gateways of the store. It must be called before one is in force.
func (s *SharedState) ShareHealth(store board.Store) {
	s.shared = sharedHealth{store: store, versions: make(map[outcome.Member]int64)}
	s.health.Share()
}

// followHealth exchanges until ctx ends, and once more then, so that a gateway that starts anew knows what this one knew.
func (s *SharedState) followHealth(ctx context.Context) {
	if s.shared.store == nil {
		return
	}
	tick := time.NewTicker(shareHealthEvery)
	defer tick.Stop()
	for {
		_ = s.ExchangeHealth(ctx) // the store's own health says it, and it is tried again
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastShareTimeout)
			defer cancel()
			_ = s.ExchangeHealth(last)
			return
		case <-tick.C:
		}
	}
}

// ExchangeHealth takes over what other gateways of the store know of tenants, and tells them what this one does. An error means
// that the store gave no answer, so that what others know may be missing, or that something there could not be read.
func (s *SharedState) ExchangeHealth(ctx context.Context) error {
	h := &s.shared
	g := s.current.Load()
	if h.store == nil || g == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var unread error
	for more := true; more; {
		var docs []board.Doc
		var next board.Cursor
		var lost bool
		var err error
		if docs, next, more, lost, err = h.store.Since(ctx, h.cursor); err != nil {
			return err
		}
		if lost { // it is told again what this gateway knows
			h.cursor, more = board.Cursor{}, true
			clear(h.versions)
			s.health.Unexport()
			continue
		}
		for _, doc := range docs {
			unread = errors.Join(unread, s.absorbHealth(g, doc))
		}
		h.cursor = next
	}
	if err := s.tellHealth(ctx, g); err != nil {
		return err
	}
	return unread
}

// absorbHealth takes over a document, if it is of a tenant that is granted here.
func (s *SharedState) absorbHealth(g *Gateway, doc board.Doc) error {
	app, tenant, _ := strings.Cut(doc.Name, "\x00")
	member := outcome.Member{App: app, Tenant: tenant}
	s.shared.versions[member] = doc.Version
	if !s.granted(app, tenant) {
		return nil
	}
	text, err := g.keys.Open(healthPurpose, []string{doc.Name}, doc.Text)
	if err != nil {
		return fmt.Errorf("the health of %s in %s, as another gateway shared it: sealed under none of this gateway's keys: %w", app, tenant, err)
	}
	return s.health.Absorb(member, text)
}

// tellHealth writes what has changed here. What another gateway wrote meanwhile is absorbed first the next time.
func (s *SharedState) tellHealth(ctx context.Context, g *Gateway) error {
	for _, gone := range s.health.Forgotten() {
		if err := s.shared.store.Remove(ctx, healthName(gone)); err != nil {
			s.health.Drop(gone) // is tried again
			return err
		}
		delete(s.shared.versions, gone)
	}
	changed := s.health.Changed(board.Most)
	docs, changes := make([]board.Doc, 0, len(changed)), make([]uint64, 0, len(changed))
	for _, member := range changed {
		text, change, _ := s.health.Export(member)
		name := healthName(member)
		docs = append(docs, board.Doc{Name: name, Version: s.shared.versions[member], Text: g.keys.Seal(healthPurpose, []string{name}, text)})
		changes = append(changes, change)
	}
	versions, written, err := s.shared.store.Put(ctx, docs)
	if err != nil {
		return err
	}
	for i, member := range changed {
		s.shared.versions[member] = versions[i]
		if written[i] {
			s.health.Exported(member, changes[i])
		}
	}
	return nil
}

func healthName(m outcome.Member) string { return m.App + "\x00" + m.Tenant }

// granted reports whether a gateway in force grants an app in a tenant, and has not suspended it.
func (s *SharedState) granted(app, tenant string) bool {
	for _, g := range s.inForce() {
		a := g.apps[app]
		if a == nil {
			continue
		}
		if grant, granted := a.Registry.Tenant(superoffice.Tenant(tenant)); granted && !grant.Suspended {
			return true
		}
	}
	return false
}
