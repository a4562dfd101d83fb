package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// noticeTimeout bounds what a push waits for: keys, the state service and the store.
	noticeTimeout = 25 * time.Second

	// askAgain is how often the state service is asked about a tenant of which there was notice, and askSeldom how often
	// about one that has been on hold for askOften.
	askAgain  = 10 * time.Second
	askSeldom = time.Minute
	askOften  = 15 * time.Minute

	// suspendGrace is for how long after a suspension the state service may still say that the tenant runs.
	suspendGrace = 10 * time.Minute

	// hintFor is how long the state service is asked whether it agrees with a hint.
	hintFor = 15 * time.Minute

	// moveFor is how long after a move the state service is asked where the tenant lives.
	moveFor = 10 * time.Minute
)

// DefaultUpgradeFor is how long an upgrade holds a tenant at most where the configuration does not say.
const DefaultUpgradeFor = 2 * time.Hour

// noticeReasons are what callers of a held tenant are told.
var noticeReasons = map[hold.Notice]string{
	hold.Upgrade:        "SuperOffice upgrades the tenant.",
	hold.Suspend:        "SuperOffice has suspended the tenant.",
	hold.Delete:         "SuperOffice deletes the tenant.",
	hold.BackupRestored: "SuperOffice restored the tenant from a backup: what was resynced since the backup may be gone. An operator looks and releases it.",
}

// TakesNotices reports whether SuperOffice sends notices of tenants here.
func (g *Gateway) TakesNotices() bool { return slices.ContainsFunc(g.Apps(), (*App).TakesNotices) }

// HearNotice takes a tenant status push: it verifies it, and does what follows once, however often and at any gateway
// it comes. The refusal is StoreUnavailable, StateUnavailable or ProofUnavailable if the push may be sent again.
func (g *Gateway) HearNotice(body superid.PushBody, visit Visit) (outcome.NoticeResult, *auth.Refusal) {
	ctx, cancel := g.detached(noticeTimeout) // a sender that leaves does not end it
	defer cancel()
	push, err := superid.VerifyPush(ctx, g.config.Environment, g.superIDKeys, body, time.Now)
	if err != nil {
		return "", pushRefusal(err)
	}
	app, refusal := g.noticed(push)
	if refusal != nil {
		return "", refusal
	}
	n := &notice{Push: push, app: app, now: time.Now().UTC().Truncate(time.Second)}
	message := hold.Message{ID: push.ID, Until: push.Until.Unix()}
	if g.state.Holds.Heard(message) {
		n.result = outcome.NoticeRepeated
		g.noteNotice(n, visit)
		return n.result, nil
	}
	if n.asks() {
		n.said = g.hosts.locator.Ask(ctx, push.Tenant)
		if !n.agreed() {
			return "", auth.Refuse(auth.StateUnavailable, errors.New("the push is only a hint, and the state service gave no answer that agrees or not"))
		}
	}
	first, err := g.state.Holds.Hear(ctx, message, n.apply)
	var uncopied *hold.CopyError
	switch {
	case errors.As(err, &uncopied):
		g.platform.Logger.Error("copy of holds could not be written", zap.Error(err))
	case err != nil:
		return "", auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	if !first {
		n.result, n.released, n.held = outcome.NoticeRepeated, nil, nil
	}
	g.noteNotice(n, visit)
	if n.result == outcome.NoticeReleased {
		go g.hosts.locator.Ask(context.WithoutCancel(ctx), push.Tenant) // calls go on at once, rather than by what was said before
	}
	return n.result, nil
}

func pushRefusal(err error) *auth.Refusal {
	var failed *superid.Error
	switch {
	case errors.As(err, &failed) && failed.Kind == superid.Outage:
		return auth.Refuse(auth.ProofUnavailable, err)
	case errors.Is(err, superid.ErrOtherTenant):
		return auth.Refuse(auth.TenantMismatch, err)
	}
	return auth.Refuse(auth.CredentialInvalid, err)
}

// noticed returns the app that a push is for.
func (g *Gateway) noticed(push superid.Push) (*App, *auth.Refusal) {
	var meant bool
	for _, app := range g.Apps() {
		if !app.TakesNotices() || len(push.Audience) > 0 && !slices.Contains(push.Audience, app.ClientID) {
			continue
		}
		meant = true
		if _, granted := app.Registry.Tenant(push.Tenant); granted {
			return app, nil
		}
	}
	if !meant {
		return nil, auth.Refuse(auth.CredentialInvalid, errors.New("aud is the client_id of no app with tenant_status"))
	}
	return nil, auth.Refuse(auth.TenantNotGranted, fmt.Errorf("no app with tenant_status is granted in %s", push.Tenant))
}

// notice is a push that SuperOffice signed, and what follows.
type notice struct {
	superid.Push
	app *App
	now time.Time
	// said is the state service's word; zero where it was not asked.
	said superoffice.Location

	result   outcome.NoticeResult
	held     *hold.Hold
	released []hold.Hold
}

// asks reports whether the state service is to be asked first: where the tenant moved, and whether it agrees with what the token
// does not say.
func (n *notice) asks() bool {
	return n.Change == superoffice.Move || !n.Bound() && n.Change != superoffice.BackupRestored && n.Change != superoffice.UnknownChange
}

// agreed reports whether the state service gave an answer, where one is needed.
func (n *notice) agreed() bool {
	return n.Change == superoffice.Move || runs(n.said) || stopped(n.said)
}

// runs reports whether the state service says that a tenant runs.
func runs(said superoffice.Location) bool { return said.Err == nil && !said.Stale }

// stopped reports whether the state service says that a tenant does not run, or that there is none.
func stopped(said superoffice.Location) bool {
	return !said.Stale && (errors.As(said.Err, new(*superoffice.NotRunningError)) || errors.Is(said.Err, superoffice.ErrTenantUnknown))
}

// apply returns the holds as they are after the notice, and notes what followed.
func (n *notice) apply(holds []hold.Hold) []hold.Hold {
	n.released, n.held = nil, nil
	target := hold.Target{Tenant: string(n.Tenant)}
	next := hold.Hold{Target: target, By: outcome.NoticeActor, Proof: n.proof(), Since: n.now}
	switch n.Change {
	case superoffice.Upgrade:
		next.Notice, next.Until = hold.Upgrade, n.now.Add(n.app.notices.UpgradeFor)
	case superoffice.Suspend:
		next.Notice = hold.Suspend
	case superoffice.Delete:
		next.Notice = hold.Delete
	case superoffice.BackupRestored:
		if n.result = outcome.NoticeWarned; !n.Bound() {
			return holds
		}
		next.Notice = hold.BackupRestored
	case superoffice.Move:
		n.result = outcome.NoticeRefreshed
		next.Notice, next.Watched, next.Until = hold.Move, true, n.now.Add(moveFor)
		return hold.Put(holds, next)
	case superoffice.Resume:
		return n.resume(holds, target)
	default:
		n.result = outcome.NoticeWarned
		return holds
	}
	next.Reason = noticeReasons[next.Notice]
	next.Stopped = stopped(n.said)
	n.result = outcome.NoticeHeld
	if !n.Bound() && !next.Stopped {
		return n.watch(holds, next)
	}
	n.held = &next
	return hold.Put(holds, next)
}

// watch keeps a hint with which the state service does not agree. What is held already stays so.
func (n *notice) watch(holds []hold.Hold, next hold.Hold) []hold.Hold {
	n.result = outcome.NoticeWatched
	next.Watched = true
	if next.Until.IsZero() {
		next.Until = n.now.Add(hintFor)
	}
	if slices.ContainsFunc(holds, func(h hold.Hold) bool { return h.Same(next) && h.InForce(n.now) }) {
		n.result = outcome.NoticeUnchanged
		return holds
	}
	return hold.Put(holds, next)
}

// resume ends what a suspension or a deletion holds, unless it is a hint with which the state service does not agree.
func (n *notice) resume(holds []hold.Hold, target hold.Target) []hold.Hold {
	n.result = outcome.NoticeUnchanged
	if !n.Bound() && !runs(n.said) {
		return holds
	}
	return slices.DeleteFunc(holds, func(h hold.Hold) bool {
		ends := h.Equal(target) && (h.Notice == hold.Suspend || h.Notice == hold.Delete)
		if ends && h.InForce(n.now) {
			n.released, n.result = append(n.released, h), outcome.NoticeReleased
		}
		return ends
	})
}

func (n *notice) proof() string {
	if n.Bound() {
		return "push"
	}
	return "hint"
}

// noteNotice tells everybody what followed a push.
func (g *Gateway) noteNotice(n *notice, visit Visit) {
	line := outcome.TenantStatus{
		RequestID: visit.ID(), ClientIP: visit.ClientIP(), App: n.app.Name, Tenant: string(n.Tenant), Change: n.Change, Proof: n.proof(), State: n.said.State, Result: n.result,
	}
	if n.held != nil {
		line.Until, line.Reason = n.held.Until, n.held.Reason
		g.platform.Emit(EventHold, HoldEvent(*n.held))
	}
	if n.result == outcome.NoticeWarned && n.Change == superoffice.BackupRestored {
		line.Reason = "a restored backup that the token does not vouch for: look whether it is so, and hold the tenant"
	}
	for _, h := range n.released {
		g.platform.Emit(EventRelease, HoldEvent(h))
	}
	g.noteTenantStatus(&line)
}

// eventTenantStatus is the event of every notice that proved itself, and of what the state service said after one.
const eventTenantStatus = "erpsync_tenant_status"

func (g *Gateway) noteTenantStatus(line *outcome.TenantStatus) {
	line.Node, line.Environment = g.platform.Node, g.config.Environment.Name()
	outcome.AuditLog{Logger: g.platform.Audit, Written: g.auditWritten}.TenantStatus(line)
	g.platform.Metrics.TenantStatus(line.Change, line.Result)
	g.platform.Emit(eventTenantStatus, map[string]any{"tenant": line.Tenant, "app": line.App, "change": string(line.Change), "proof": line.Proof, "state": line.State, "result": string(line.Result)})
	log := g.platform.Logger.Info
	if line.Result == outcome.NoticeHeld || line.Result == outcome.NoticeWarned {
		log = g.platform.Logger.Warn
	}
	log("tenant status", zap.String("tenant", line.Tenant), zap.String("app", line.App), zap.String("change", string(line.Change)), zap.String("proof", line.Proof),
		zap.String("state", line.State), zap.String("result", string(line.Result)), zap.String("reason", line.Reason), zap.String("request_id", line.RequestID))
}

// followNotices asks the state service about tenants of which there was notice, at any gateway, until it has ended.
func (g *Gateway) followNotices(ctx context.Context) {
	tick := time.NewTicker(hold.FollowEvery)
	defer tick.Stop()
	f := &noticeFollower{gateway: g, asked: make(map[noticeKey]time.Time)}
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// noticeFollower knows when it asked about what.
type noticeFollower struct {
	gateway *Gateway
	asked   map[noticeKey]time.Time
}

// noticeKey tells one notice from a later one of the same.
type noticeKey struct {
	tenant string
	notice hold.Notice
	since  int64
}

func keyOf(h hold.Hold) noticeKey { return noticeKey{h.Tenant, h.Notice, h.Since.Unix()} }

// look asks about every notice that is due.
func (f *noticeFollower) look(ctx context.Context) {
	all := f.gateway.state.Holds.Notices()
	kept := make(map[noticeKey]time.Time, len(all))
	for _, h := range all {
		if at, ok := f.asked[keyOf(h)]; ok {
			kept[keyOf(h)] = at
		}
	}
	f.asked = kept
	for _, h := range all {
		key, now := keyOf(h), time.Now()
		last, before := f.asked[key]
		if before && (h.Notice == hold.BackupRestored || now.Sub(last) < pause(h, now)) { // no state shows a restored backup
			continue
		}
		f.asked[key] = now
		said := f.gateway.hosts.locator.Ask(ctx, superoffice.Tenant(h.Tenant))
		if ctx.Err() != nil || !runs(said) && !stopped(said) {
			continue // no answer, which changes nothing
		}
		if _, outcome := followUp(h, said, now); outcome != "" {
			f.gateway.amendNotice(ctx, h, said, now)
		}
	}
}

// pause returns how long after a question about a notice the next one is asked.
func pause(h hold.Hold, now time.Time) time.Duration {
	if h.Notice != hold.Upgrade && now.Sub(h.Since) > askOften {
		return askSeldom
	}
	return askAgain
}

// followUp returns what becomes of a notice now that the state service says whether the tenant runs; "" if nothing does. If it is
// released, what is returned is void.
func followUp(h hold.Hold, said superoffice.Location, now time.Time) (hold.Hold, outcome.NoticeResult) {
	switch {
	case h.Notice != hold.Upgrade && h.Notice != hold.Suspend && h.Notice != hold.Delete:
		return h, ""
	case stopped(said) && !h.Stopped:
		h.Stopped = true
		if !h.Watched {
			return h, outcome.NoticeUnchanged
		}
		h.Watched = false
		if h.Notice != hold.Upgrade {
			h.Until = time.Time{}
		}
		return h, outcome.NoticeHeld
	case runs(said) && h.Stopped, runs(said) && !h.Watched && h.Notice != hold.Upgrade && now.Sub(h.Since) >= suspendGrace:
		return h, outcome.NoticeReleased
	}
	return h, ""
}

// amendNotice does what follows at all gateways; of several that would, the first does.
func (g *Gateway) amendNotice(ctx context.Context, h hold.Hold, said superoffice.Location, now time.Time) {
	var next hold.Hold
	var result outcome.NoticeResult
	err := g.state.Holds.Amend(ctx, func(holds []hold.Hold) ([]hold.Hold, bool) {
		result = ""
		i := slices.IndexFunc(holds, func(other hold.Hold) bool { return other.Same(h) && keyOf(other) == keyOf(h) })
		if i < 0 { // it was released
			return holds, false
		}
		if next, result = followUp(holds[i], said, now); result == outcome.NoticeReleased {
			return slices.Delete(holds, i, i+1), true
		}
		holds[i] = next
		return holds, result != ""
	})
	if err != nil && !errors.As(err, new(*hold.CopyError)) || result == "" {
		return // it is looked at again
	}
	switch result {
	case outcome.NoticeHeld:
		g.platform.Emit(EventHold, HoldEvent(next))
	case outcome.NoticeReleased:
		g.platform.Emit(EventRelease, HoldEvent(h))
	case outcome.NoticeUnchanged: // it is known to have stopped, and stays on hold
		return
	}
	g.noteTenantStatus(&outcome.TenantStatus{Tenant: h.Tenant, Change: superoffice.Change(h.Notice), Proof: "state_service", State: said.State, Until: next.Until, Result: result, Reason: h.Reason})
}
