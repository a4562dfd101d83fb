package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/guard/hold"
	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	holdTimeout = 10 * time.Second
	// maxReason bounds what callers are told, in bytes.
	maxReason = 200
	// longestHold bounds what ends by itself: later is a slip of the pen.
	longestHold = 366 * 24 * time.Hour
)

// By is who orders something, and what shows it.
type By struct{ Name, Proof string }

// Hold puts calls on hold at every gateway of the sites' stores. Whether anybody is known by that name is another
// question: a hold that was typed in an emergency is not refused.
func (s *Sites) Hold(ctx context.Context, request HoldRequest, by By) (Held, error) {
	target, err := s.parseTarget(request.HoldTarget)
	if err != nil {
		return Held{}, err
	}
	h := hold.Hold{Target: target, Reason: request.Reason, By: by.Name, Proof: by.Proof, Since: time.Now().UTC().Truncate(time.Second)}
	if h.Reason == "" || len(h.Reason) > maxReason || strings.ContainsFunc(h.Reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Held{}, fmt.Errorf("reason: is needed, since callers are told it: one line of at most %d bytes", maxReason)
	}
	if request.For != "" {
		lasts, err := time.ParseDuration(request.For)
		if err != nil || lasts < time.Second || lasts > longestHold {
			return Held{}, fmt.Errorf("for %q: want a duration from a second to a year, such as 30m or 2h", request.For)
		}
		h.Until = h.Since.Add(lasts)
	}
	held := Held{Hold: holdStatus(h), Unknown: s.unknownTarget(target)}
	held.Remark, err = s.eachBook(ctx, func(ctx context.Context, state *gateway.SharedState, site *Site) error {
		err := state.Holds.Set(ctx, h)
		if err == nil || errors.As(err, new(*hold.CopyError)) {
			site.Platform().Emit(gateway.EventHold, gateway.HoldEvent(h))
		}
		return err
	})
	if err == nil {
		held.Effect = s.everywhere(ctx, heldEverywhere)
	}
	return held, err
}

// Release ends the holds of exactly the target, those that follow from SuperOffice's notices too, or gives up what is kept as holds and cannot be read.
func (s *Sites) Release(ctx context.Context, request ReleaseRequest) (Released, error) {
	target, err := s.parseTarget(request.HoldTarget)
	if err == nil && request.Unreadable && !request.All {
		err = errors.New("unreadable: goes with all, since nobody knows whose calls were on hold")
	}
	if err != nil {
		return Released{}, err
	}
	done, release := Released{Target: target.String()}, func(ctx context.Context, book *hold.Book) ([]hold.Hold, error) {
		return book.Release(ctx, target)
	}
	if request.Unreadable {
		done.Target, release = "what could not be read", func(ctx context.Context, book *hold.Book) (released []hold.Hold, err error) {
			found, err := book.GiveUpUnreadable(ctx)
			if found {
				released = []hold.Hold{{Reason: "could not be read"}}
			}
			return released, err
		}
	}
	done.Remark, err = s.eachBook(ctx, func(ctx context.Context, state *gateway.SharedState, site *Site) error {
		released, err := release(ctx, state.Holds)
		if err == nil || errors.As(err, new(*hold.CopyError)) {
			for _, h := range released {
				done.Found = true
				site.Platform().Emit(gateway.EventRelease, gateway.HoldEvent(h))
			}
		}
		return err
	})
	if err != nil {
		return Released{}, err
	}
	done.Effect = s.everywhere(ctx, heldEverywhere)
	done.Remaining, err = s.holds(ctx)
	return done, err
}

// eachBook changes the holds of every store once. The remark says what could not be kept for a restart.
func (s *Sites) eachBook(ctx context.Context, change func(context.Context, *gateway.SharedState, *Site) error) (remark string, err error) {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	sites := s.list()
	if len(sites) == 0 {
		return "", &Error{http.StatusConflict, errors.New("no erpsync handler is configured")}
	}
	var done []*gateway.SharedState
	for _, site := range sites {
		state := site.State()
		if slices.Contains(done, state) {
			continue
		}
		done = append(done, state)
		var uncopied *hold.CopyError
		if changeErr := change(ctx, state, site); errors.As(changeErr, &uncopied) {
			remark = uncopied.Error()
		} else {
			err = errors.Join(err, changeErr)
		}
	}
	if err != nil {
		return remark, unavailable(fmt.Errorf("not everywhere, try again: %w", err))
	}
	return remark, nil
}

// holds returns what is on hold at any site.
func (s *Sites) holds(ctx context.Context) ([]HoldStatus, error) {
	all := []HoldStatus{}
	var done []*gateway.SharedState
	for _, site := range s.list() {
		if slices.Contains(done, site.State()) {
			continue
		}
		done = append(done, site.State())
		inForce, err := site.State().Holds.InForce(ctx)
		if err != nil {
			return all, unavailable(err)
		}
		for _, h := range inForce {
			if status := holdStatus(h); !slices.ContainsFunc(all, func(other HoldStatus) bool { return other.Target == status.Target && other.Notice == status.Notice }) {
				all = append(all, status)
			}
		}
	}
	return all, nil
}

func holdStatus(h hold.Hold) HoldStatus {
	return HoldStatus{Target: h.Target.String(), App: h.App, Tenant: h.Tenant, Connection: h.Connection, Reason: h.Reason, By: h.By, Proof: h.Proof, Notice: string(h.Notice), Since: h.Since, Until: when(h.Until)}
}

// parseTarget refuses what names too little or too much: who wanted to hold one connection must not hold everything.
func (s *Sites) parseTarget(t HoldTarget) (target hold.Target, err error) {
	for name, value := range map[string]*string{"app": t.App, "tenant": t.Tenant} {
		if value != nil && *value == "" {
			return target, fmt.Errorf("%s: is empty; leave it out, or say which", name)
		}
	}
	named := t.App != nil || t.Tenant != nil || t.Connection != nil
	if named == t.All {
		return target, errors.New("want an app, a tenant, a connection, some of them together, or all")
	}
	if t.App != nil {
		target.App = *t.App
	}
	if t.Tenant != nil {
		tenant, ok := superoffice.ParseTenant(*t.Tenant)
		if !ok {
			return target, errTenantForm(*t.Tenant)
		}
		target.Tenant = string(tenant)
	}
	if t.Connection != nil {
		if *t.Connection <= 0 {
			return target, errors.New("connection: want a connection's number; a call from the CRM reaches every connection, so hold its tenant")
		}
		if t.Tenant == nil && slices.ContainsFunc(s.list(), func(site *Site) bool { return site.Online() }) {
			return target, errors.New("connection: name its tenant too; numbers are each tenant's own")
		}
		target.Connection = t.Connection
	}
	return target, nil
}

// unknownTarget says that nobody knows an app or a tenant by that name; "" where somebody does.
func (s *Sites) unknownTarget(target hold.Target) string {
	if target.App != "" {
		var names []string
		for _, app := range s.apps() {
			names = append(names, app.Name)
		}
		if !slices.Contains(names, target.App) {
			return fmt.Sprintf("no app %q is configured%s", target.App, nearest.Hint(target.App, names))
		}
	}
	if target.Tenant != "" && !slices.ContainsFunc(s.apps(), func(app siteApp) bool { return app.granted(superoffice.Tenant(target.Tenant)) }) {
		return fmt.Sprintf("no app is granted in %s", target.Tenant)
	}
	return ""
}
