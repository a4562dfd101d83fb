package notify

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
)

// deliver sends what is due, as the sender, until ctx ends.
func (n *Notifier) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		for n.deliverOne(ctx) {
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// deliverOne sends one message that is due, and reports whether there may be another.
func (n *Notifier) deliverOne(ctx context.Context) bool {
	_, to := n.current()
	n.mu.Lock()
	d, sends, rests := n.doc, n.health.Sends, n.rests
	n.mu.Unlock()
	now := time.Now()
	if to == nil || d == nil || !sends {
		return false
	}
	if d.Gone == to.name() {
		return n.dropAll(ctx, to)
	}
	if now.Before(rests) {
		return false
	}
	due, _ := d.due(now)
	if len(due) == 0 {
		return false
	}
	m := due[0]
	if !m.First.IsZero() && now.Sub(m.First) > giveUpAfter {
		return n.change(ctx, func(d *document) bool { return d.giveUp(m.ID, now) }) == nil
	}
	v := to.post(ctx, m.ID, m.Body)
	if ctx.Err() != nil && !v.Received {
		return false // the gateway stops: that is no failure of the receiver
	}
	n.tried(to, m, v)
	err := n.change(context.WithoutCancel(ctx), func(d *document) bool { return d.settle(m.ID, to.name(), v, time.Now()) })
	return err == nil
}

// settle notes what came of an attempt.
func (d *document) settle(id, receiver string, v verdict, now time.Time) bool {
	i := slices.IndexFunc(d.Queue, func(m *message) bool { return m.ID == id })
	if i < 0 {
		return false
	}
	m := d.Queue[i]
	switch {
	case v.Received:
		d.Queue = slices.Delete(d.Queue, i, i+1)
		return true
	case v.Gone:
		d.Gone, d.GoneAt = receiver, now
	}
	m.Tried++
	m.Cause = v.Cause
	if m.First.IsZero() {
		m.First = now
	}
	m.Next = now.Add(max(pause(m.Tried), v.RetryAfter))
	return true
}

// giveUp drops a message that nobody took for a day.
func (d *document) giveUp(id string, now time.Time) bool {
	i := slices.IndexFunc(d.Queue, func(m *message) bool { return m.ID == id })
	if i < 0 {
		return false
	}
	d.lose(1, now, "not received for a day: "+d.Queue[i].Cause)
	d.Queue = slices.Delete(d.Queue, i, i+1)
	return true
}

// dropAll drops what is queued for a receiver that wants nothing.
func (n *Notifier) dropAll(ctx context.Context, to *receiver) bool {
	_ = n.change(ctx, func(d *document) bool {
		if d.Gone != to.name() || len(d.Queue) == 0 {
			return false
		}
		d.lose(len(d.Queue), time.Now(), "the receiver answered 410 Gone and wants no more messages")
		d.Queue = nil
		return true
	})
	return false
}

// tried counts and logs an attempt, and leaves the receiver alone if it is not there.
func (n *Notifier) tried(to *receiver, m *message, v verdict) {
	n.counts.attempted(v.Received)
	fields := []zap.Field{zap.String("id", m.ID), zap.String("kind", string(m.Kind)), zap.String("receiver", to.host()), zap.Int("status", v.Status), zap.Int("attempt", m.Tried+1)}
	switch {
	case v.Received:
		n.logger.Debug("notice received", fields...)
	case v.Gone:
		n.logger.Error("the receiver of notices wants no more of them; nothing is sent until caddy erpsync notify test is received", fields...)
	default:
		n.logger.Warn("notice not received; it is sent again", append(fields, zap.String("cause", v.Cause))...)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rests = time.Time{}
	if v.Status == 0 || v.Status == http.StatusTooManyRequests || v.Status == http.StatusServiceUnavailable {
		n.rests = time.Now().Add(max(min(pause(m.Tried+1), restAfter), v.RetryAfter))
	}
}
