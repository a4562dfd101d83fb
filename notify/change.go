package notify

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// change reads what is known and, where edit says that it changed it, writes it back. Of several gateways one does at a time;
// edit may be called twice, on what was read before that and after. Alone, a change is in force even if it could not be kept,
// and is kept later.
func (n *Notifier) change(ctx context.Context, edit func(*document) bool) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	n.mu.Lock()
	store, known, unsaved := n.settings.Store, n.doc, n.unsaved
	n.mu.Unlock()
	var d *document
	var err error
	if n.alone && known != nil {
		d = known.clone()
	} else if d, err = n.load(ctx, store); err != nil {
		n.kept(err)
		return err
	}
	changed := edit(d)
	if !changed && !unsaved {
		n.kept(nil)
		n.learn(d, false)
		return nil
	}
	if !n.alone {
		if d, err = n.changeShared(ctx, store, edit); err == nil {
			n.learn(d, false)
		}
		n.kept(err)
		return err
	}
	err = save(ctx, store, d)
	n.kept(err)
	n.learn(d, err != nil)
	return nil
}

// changeShared reads anew and writes while no other gateway does.
func (n *Notifier) changeShared(ctx context.Context, store Store, edit func(*document) bool) (*document, error) {
	held, err := n.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	d, err := n.load(ctx, store)
	if err != nil {
		return nil, err
	}
	edit(d)
	return d, save(ctx, store, d)
}

// clone returns a document that can be changed while the other is read.
func (d *document) clone() *document {
	next := *d
	next.Connections, next.Consents = cloneEach(d.Connections), cloneEach(d.Consents)
	next.Facts, next.Storms, next.Singles = maps.Clone(d.Facts), maps.Clone(d.Storms), maps.Clone(d.Singles)
	next.Fresh = slices.Clone(d.Fresh)
	next.Queue = slices.Clone(d.Queue)
	for i, m := range next.Queue {
		copied := *m
		next.Queue[i] = &copied
	}
	return &next
}

func cloneEach[T any](all map[string]*T) map[string]*T {
	next := maps.Clone(all)
	for key, one := range next {
		copied := *one
		next[key] = &copied
	}
	return next
}

// lock takes the lease of one change.
func (n *Notifier) lock(ctx context.Context) (*lease.Held, error) {
	for {
		held, _, err := lease.Hold(ctx, n.locker, changeLease, n.holder)
		if err != nil || held != nil {
			return held, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("another gateway changes the notices for too long")
		case <-time.After(lookAgain):
		}
	}
}

// load reads the document. One that can never be read is given up, since nothing would be told any more: that is said.
func (n *Notifier) load(ctx context.Context, store Store) (*document, error) {
	raw, err := store.Load(ctx)
	var d *document
	if err == nil {
		d, err = parse(raw)
	}
	if errors.Is(err, errUnreadable) {
		n.logger.Error("kept notices are given up", zap.Error(err))
		d = new(document)
		d.lose(1, time.Now(), err.Error())
		return d, nil
	}
	return d, err
}

func save(ctx context.Context, store Store, d *document) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return store.Save(ctx, raw)
}

func (n *Notifier) learn(d *document, unsaved bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doc, n.unsaved = d, unsaved
}

// kept notes whether what is known could be kept, and logs a change of that.
func (n *Notifier) kept(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		if !n.health.StoreFails.IsZero() {
			n.logger.Info("notices can be kept again", zap.Duration("after", time.Since(n.health.StoreFails)))
		}
		n.health.StoreFails, n.health.StoreCause = time.Time{}, ""
	case n.health.StoreFails.IsZero():
		n.health.StoreFails = time.Now()
		n.logger.Error("notices cannot be kept", zap.Error(err))
		fallthrough
	default:
		n.health.StoreCause = err.Error()
	}
}
