package erpsync

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Guard makes a call that can rewrite an ERP safe to press. The same call twice
// at once is always refused.
type Guard struct {
	// The largest body of a call, in bytes. Default: 2 MiB.
	MaxBody int64 `json:"max_body,omitempty"`
	// How long a body may take to arrive. Default: 10 s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`
	// How many calls may run at a time through one ERP connection of a tenant. Default: 4. Below zero: no limit.
	InFlightConnection int `json:"in_flight_connection,omitempty"`
	// How many calls of an app may run at a time in one tenant. Default: 10. Below zero: no limit.
	InFlightTenant int `json:"in_flight_tenant,omitempty"`
	// How many calls of an app may run at a time. Default: 500. Below zero: no limit.
	InFlightApp int `json:"in_flight_app,omitempty"`
	// How many calls an app may begin in one tenant in a second, at each gateway; the gateway's own
	// questions count. Default: 10, which the vendor's checklist asks for. Below zero: no limit.
	Rate float64 `json:"rate,omitempty"`
	// After a resync of everything, how long the next one through the same
	// connection is refused. Default: zero, not at all.
	CoolDown caddy.Duration `json:"cool_down,omitempty"`
	// How long the answer to a call with Idempotency-Key is kept. Default: 24 h.
	Idempotency caddy.Duration `json:"idempotency,omitempty"`
}

const (
	defaultMaxBody            = 2 << 20
	defaultBodyTimeout        = 10 * time.Second
	defaultInFlightConnection = 4
	defaultInFlightTenant     = 10
	defaultInFlightApp        = 500
	defaultRate               = 10
	defaultIdempotency        = 24 * time.Hour
)

func (g *Guard) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	inFlight := map[string]*int{"connection": &g.InFlightConnection, "tenant": &g.InFlightTenant, "app": &g.InFlightApp}
	return options(d, map[string]option{
		"max_body":     size(d, &g.MaxBody),
		"body_timeout": duration(d, &g.BodyTimeout),
		"in_flight": {read: func() error {
			var what, raw string
			if !d.AllArgs(&what, &raw) {
				return d.ArgErr()
			}
			into := inFlight[what]
			if into == nil {
				return d.Errf("in_flight %s: want connection, tenant or app", what)
			}
			if *into != 0 {
				return d.Errf("in_flight %s stands here twice", what)
			}
			if raw == "off" {
				*into = -1
				return nil
			}
			value, err := strconv.Atoi(raw)
			if err != nil || value <= 0 {
				return d.Errf("in_flight %s %q: want a number above zero, or off", what, raw)
			}
			*into = value
			return nil
		}},
		"rate": {once: true, read: func() error {
			var raw string
			if !d.AllArgs(&raw) {
				return d.ArgErr()
			}
			if raw == "off" {
				g.Rate = -1
				return nil
			}
			value, err := strconv.ParseFloat(raw, 64)
			if err != nil || value <= 0 || value > 1e6 {
				return d.Errf("rate %q: want calls per second above zero, or off", raw)
			}
			g.Rate = value
			return nil
		}},
		"cool_down":   duration(d, &g.CoolDown),
		"idempotency": duration(d, &g.Idempotency),
	})
}

// fill puts the defaults in where the operator said nothing.
func (g *Guard) fill() {
	orDefault(&g.MaxBody, defaultMaxBody)
	orDefault(&g.BodyTimeout, caddy.Duration(defaultBodyTimeout))
	orDefault(&g.InFlightConnection, defaultInFlightConnection)
	orDefault(&g.InFlightTenant, defaultInFlightTenant)
	orDefault(&g.InFlightApp, defaultInFlightApp)
	orDefault(&g.Rate, defaultRate)
	orDefault(&g.Idempotency, caddy.Duration(defaultIdempotency))
}

func orDefault[T comparable](into *T, value T) {
	var zero T
	if *into == zero {
		*into = value
	}
}

func (g *Guard) validate() error {
	if g.MaxBody < 0 || g.BodyTimeout < 0 || g.CoolDown < 0 || g.Idempotency < 0 {
		return errors.New("max_body, body_timeout, cool_down, idempotency: below zero")
	}
	return nil
}

func (g *Guard) limits() guard.Limits {
	return guard.Limits{Connection: g.InFlightConnection, Tenant: g.InFlightTenant, App: g.InFlightApp, PerSecond: g.Rate}
}

const (
	idempotencyHeader = "Idempotency-Key"
	dryRunHeader      = "ErpSync-Dry-Run"
	replayedHeader    = "ErpSync-Replayed"
)

// guard finds out whether the call is safe to run now: not too many, not answered before, not
// running already, not too soon after a resync of everything. What it takes is given back in end.
func (c *call) guard() *auth.Refusal {
	g, app, tenant := &c.h.Guard, c.app.Name, string(c.principal.Tenant)
	idempotencyKey, dryRun, ok := c.wishes()
	if !ok {
		return auth.Refuse(auth.HeaderNotUnderstood, nil)
	}
	c.dry = dryRun
	if wait := c.h.common.meter.Begin(g.limits(), app, tenant); wait > 0 {
		return auth.Refuse(auth.RateLimited, nil).After(wait)
	}
	if idempotencyKey != "" && !dryRun {
		if refusal := c.beginKeyed(idempotencyKey); refusal != nil || c.kept != nil {
			return refusal
		}
	}
	leave, full := c.h.common.meter.Enter(g.limits(), app, tenant, c.record.Arguments.Connection)
	if leave == nil {
		refusal := auth.Refuse(auth.TooManyInFlight, nil).After(5 * time.Second)
		refusal.Detail += " (in_flight " + full + ")"
		return refusal
	}
	c.leave = append(c.leave, leave)
	if !c.path.Operation.Resyncs() {
		return nil
	}
	if refusal := c.alone(); refusal != nil {
		return refusal
	}
	return c.coolDown()
}

// wishes reads the headers that the caller guards itself with.
func (c *call) wishes() (idempotencyKey string, dryRun, ok bool) {
	keys, dry := c.r.Header[idempotencyHeader], c.r.Header["Erpsync-Dry-Run"]
	if len(keys) > 1 || len(dry) > 1 {
		return "", false, false
	}
	if len(keys) == 1 {
		idempotencyKey = keys[0]
		if idempotencyKey == "" || len(idempotencyKey) > 255 || strings.IndexFunc(idempotencyKey, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return "", false, false
		}
	}
	// Whoever wants a dry run must not get a real one for a word that was not understood.
	if len(dry) == 1 && dry[0] != "true" && dry[0] != "?1" && dry[0] != "1" {
		return "", false, false
	}
	return idempotencyKey, len(dry) == 1, true
}

// beginKeyed notes a call with an Idempotency-Key before it is sent, or finds what the first one was answered.
func (c *call) beginKeyed(key string) (refusal *auth.Refusal) {
	upn := ""
	if c.principal.Scheme == auth.BrowserSession {
		upn = c.principal.ID
	}
	mark, err := c.h.marks().Mark(c.r.Context(), c.app.Name, c.principal.Tenant, upn)
	if err != nil {
		return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	answers := guard.Answers{Shelf: c.h.common.shelf, Locker: c.h.common.locker, Sealer: c.h.ring, Keep: time.Duration(c.h.Guard.Idempotency), Mark: mark}
	place := auth.Key("idempotency", c.app.Name, string(c.principal.Tenant), string(c.principal.Scheme), c.principal.ID, c.path.Operation.String(), key)
	print := sha256.New()
	for _, part := range []string{c.r.Header.Get("Content-Type"), c.r.Header.Get("Accept"), c.selected.Query()} {
		print.Write([]byte(strconv.Itoa(len(part)) + " " + part))
	}
	print.Write(c.body)
	c.entry, c.kept, refusal = answers.Begin(c.r.Context(), place, hex.EncodeToString(print.Sum(nil)), c.record.RequestID)
	return refusal
}

// alone makes sure that the same call is not running already, here or at another gateway.
func (c *call) alone() *auth.Refusal {
	a, id := c.record.Arguments, c.record.RequestID
	name := auth.Key("running", string(c.principal.Tenant), c.path.Operation.String(), strconv.Itoa(int(a.Connection)), a.ActorType, c.record.KeysSum)
	running := func(other string) *auth.Refusal {
		return auth.Refuse(auth.CallRunning, nil).After(5 * time.Second).Of(other)
	}
	if !c.h.common.alone {
		release, current, err := lease.Hold(c.r.Context(), c.h.common.locker, name, id)
		switch {
		case err != nil:
			// To refuse every call because the others cannot be asked would be worse.
			c.h.logger.Warn("other gateways cannot be asked whether the same call is running", zap.String("request_id", id), zap.Error(err))
		case current != id:
			return running(current)
		default:
			c.leave = append(c.leave, release)
		}
	}
	// Whoever has the others' word takes this gateway's own too, which holds when the store does not.
	if other := c.h.common.running.Begin(name, id); other != "" {
		return running(other)
	}
	c.leave = append(c.leave, func() { c.h.common.running.End(name) })
	return nil
}

// coolDown keeps resyncs of everything apart.
func (c *call) coolDown() *auth.Refusal {
	cool := time.Duration(c.h.Guard.CoolDown)
	if cool == 0 || !c.record.Arguments.Everything {
		return nil
	}
	name := auth.Key("cooling", string(c.principal.Tenant), strconv.Itoa(int(c.record.Arguments.Connection)))
	until, err := c.h.common.shelf.Take(c.r.Context(), name)
	if err == nil && until == "" {
		if c.dry {
			return nil
		}
		until = time.Now().Add(cool).Format(time.RFC3339)
		var mine bool
		if mine, err = c.h.common.shelf.LayNew(c.r.Context(), name, until, cool); mine {
			c.leave = append(c.leave, func() {
				if c.record.Sends == 0 { // it did not run after all
					ctx, cancel := detached(renewalWait)
					defer cancel()
					_ = c.h.common.shelf.Drop(ctx, name)
				}
			})
			return nil
		}
	}
	if err != nil {
		return auth.Refuse(auth.StoreUnavailable, err).After(time.Second)
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	return auth.Refuse(auth.CoolingDown, nil).After(max(time.Until(end), time.Second))
}

// unguard gives back what guard took, and keeps what became of a call with an Idempotency-Key.
func (c *call) unguard() {
	if e := c.entry; e != nil {
		switch {
		case c.record.Outcome.Class == outcome.Unknown, c.record.Outcome.Class == "" && c.record.Sends > 0:
			e.Unknown() // the second is a fault of ours after it was sent
		case c.answered:
			e.Answered(guard.Answer{RequestID: c.record.RequestID, Status: c.record.Status, Header: c.answerHeader, Body: c.answerBody})
		default:
			e.NotRun()
		}
	}
	for _, f := range c.leave {
		f()
	}
}

// replay answers with what the first call was answered.
func (c *call) replay() {
	maps.Copy(c.w.Header(), c.kept.Header)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.Header().Set(replayedHeader, c.kept.RequestID)
	c.record.Decision, c.record.Status, c.record.Replays, c.record.Bytes = "replayed", c.kept.Status, c.kept.RequestID, int64(len(c.kept.Body))
	c.w.WriteHeader(c.kept.Status)
	_, _ = c.w.Write(c.kept.Body)
}

// tell answers a dry run: what would have been done.
func (c *call) tell() error {
	c.record.Decision, c.record.Status = "dry_run", http.StatusOK
	c.w.Header().Set("Cache-Control", "no-store")
	as := c.app.grants.CallAs
	told := map[string]any{
		"dry_run": true, "decision": "allowed", "app": c.app.Name, "operation": c.path.Operation.String(), "call_as": as, "principal": c.principal.ID,
		"keys": len(c.record.Arguments.Keys) + len(c.record.Arguments.ExternalKeys), "resync_all": c.record.Arguments.Everything, "keys_digest": c.record.KeysDigest(),
	}
	if c.principal.Tenant != superoffice.Onsite {
		told["tenant"] = c.principal.Tenant
	}
	if c.path.Operation.Arguments() != superoffice.NoArguments {
		told["connection_id"] = c.record.Arguments.Connection
	}
	if refusal := answerJSON(c.w, told); refusal != nil {
		return c.refuse(refusal)
	}
	return nil
}

// counted has the gateway's own questions count among its calls.
func (h *Handler) counted(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if h.SuperOffice != nil {
			tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if h.upstreamAPI != "" {
				tenant = ""
			}
			h.common.meter.Count(h.Guard.limits(), h.SuperOffice.App, tenant)
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
