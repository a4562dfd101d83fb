package notify

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// look tells what was seen and, as the sender, judges, until ctx ends.
func (n *Notifier) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var sender *lease.Held
	defer func() {
		n.round(ctx, nil) // what was seen last
		n.sends(false)
		if sender != nil {
			sender.Release()
		}
	}()
	for {
		sender = n.elect(ctx, sender)
		told := n.round(ctx, sender)
		n.sends(sender != nil && told) // without the store nothing is known that could be sent
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// elect takes the sender's lease, or gives it up if another has it meanwhile.
func (n *Notifier) elect(ctx context.Context, sender *lease.Held) *lease.Held {
	if sender != nil {
		if sender.LostTo() == "" {
			return sender
		}
		sender.Release()
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	sender, _, err := lease.Hold(ctx, n.locker, senderLease, n.holder)
	if err != nil {
		return nil
	}
	return sender
}

func (n *Notifier) sends(sends bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health.Sends = sends
}

// round tells what was seen and, as the sender, judges. It reports whether that is known to the others.
func (n *Notifier) round(ctx context.Context, sender *lease.Held) bool {
	settings, _ := n.current()
	now := time.Now()
	var facts []Fact
	known := false
	if sender != nil && settings.Facts != nil {
		var err error
		facts, err = settings.Facts(ctx)
		known = err == nil
	}
	taken := n.watcher.take(now)
	var published []outgoing
	err := n.change(ctx, func(d *document) bool {
		published = nil
		changed := d.merge(&taken, now)
		if sender == nil || ctx.Err() != nil {
			return changed
		}
		changed = d.judge(settings, facts, known, now) || changed
		var gathered bool
		published, gathered = d.gather(settings, now)
		return changed || gathered
	})
	if err != nil {
		n.watcher.putBack(taken)
		return false
	}
	for _, o := range published {
		n.counts.decided(o.notice.Kind)
		n.logger.Info("notice", zap.String("kind", string(o.notice.Kind)), zap.String("subject", o.notice.Subject()), zap.String("id", o.id))
		if settings.Emit != nil {
			settings.Emit(o.notice.Kind.Event(), o.notice.fields(o.id))
		}
	}
	if sender != nil {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
	return true
}
