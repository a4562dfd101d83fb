// Package probe finds out what SuperOffice does where its documentation says nothing or contradicts itself, through a
// gateway that runs: nine questions, for which a person signs in twice in their own browser. It moves no data. The
// tokens that it gets serve the questions and are thrown away; they never become a session.
//
// A probe begins by an operator's order alone. It ends by itself: when it is answered, when nobody signs in, when its
// operator asks for its result no more, or with its configuration.
package probe

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// signInTime is how long the two sign-ins may take, questionTime how long the questions.
	signInTime   = 15 * time.Minute
	questionTime = 2 * time.Minute

	// maxRunning is how many probes one gateway has at a time.
	maxRunning = 4

	// abandonedAfter ends a probe whose operator has stopped asking for its result.
	abandonedAfter = 30 * time.Second

	// pollTime is how long a question for the result waits: less than Caddy's admin endpoint gives a request.
	pollTime = 5 * time.Second
)

// Errors of Begin and Result.
var (
	ErrTooMany    = fmt.Errorf("%d probes run at this gateway already: wait until one of them ends, or end its command", maxRunning)
	ErrNotInForce = errors.New("the gateway's configuration is not in force any more: begin again")
	ErrNoSignIn   = errors.New("nobody signs in to this app here, so that no redirect_uri is known to be registered: have people sign in to it (browser), or give it call_as system")
	ErrUnknown    = errors.New("no such probe: it has ended, or the gateway was reloaded or restarted; begin again")
)

// Options are what an operator may wish of a probe.
type Options struct {
	// WaitForExpiry keeps the access token until it has expired, to see with which status it is refused. Otherwise
	// only one that lives two minutes or less is waited for.
	WaitForExpiry bool
}

// Invitation is what begins the sign-ins of a probe.
type Invitation struct {
	// ID names the probe to its operator. It opens nothing but the report.
	ID string
	// Key is the secret of the address at which a person begins, once.
	Key   string
	Until time.Time
}

// Stage is what a probe waits for.
type Stage string

// The stages of a probe, in their order.
const (
	ForSignIn  Stage = "sign_in"
	ForAnswers Stage = "answers"
	ForExpiry  Stage = "expiry"
	Over       Stage = "over"
)

// Result is how a probe is. Of one that is over either Report is set or Err.
type Result struct {
	Stage  Stage
	Until  time.Time // when the stage ends at the latest
	Report *Report
	Err    error
}

// Desk holds the probes of one gateway. Use NewDesk.
type Desk struct {
	gateway *gateway.Gateway

	mu      sync.Mutex
	inForce bool
	probes  map[string]*running // by ID
}

// NewDesk returns the desk of a gateway. It takes no probes before Start.
func NewDesk(g *gateway.Gateway) *Desk {
	return &Desk{gateway: g, probes: make(map[string]*running)}
}

// Start takes probes until ctx ends, which ends those that run.
func (d *Desk) Start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inForce = true
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inForce = false
		for _, p := range d.probes {
			p.end(ErrNotInForce)
		}
	})
}

// TakesSignIns reports whether people sign in to an app at the gateway, so that one of its callback addresses is registered.
func TakesSignIns(g *gateway.Gateway, app *gateway.App) bool {
	return app.SuperID != nil && (app.TakesApprovals() || g.Sessions() != nil && g.Sessions().App == app.Name)
}

// Begin begins a probe.
func (d *Desk) Begin(app *gateway.App, tenant superoffice.Tenant, options Options) (Invitation, error) {
	if !TakesSignIns(d.gateway, app) {
		return Invitation{}, ErrNoSignIn
	}
	key := rand.Text() // 130 bits
	p := &running{
		desk: d, id: rand.Text(), key: sha256.Sum256([]byte(key)), app: app, tenant: tenant, options: options,
		stage: ForSignIn, until: time.Now().Add(signInTime), answers: make(chan answered, attempts), over: make(chan struct{}),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, other := range d.probes {
		if other.stage != Over {
			n++
		}
	}
	switch {
	case !d.inForce:
		return Invitation{}, ErrNotInForce
	case n >= maxRunning:
		return Invitation{}, ErrTooMany
	}
	var ctx context.Context
	ctx, p.end = context.WithCancelCause(d.gateway.Platform().Background())
	p.abandoned = time.AfterFunc(abandonedAfter, func() {
		p.end(errors.New("nobody asks for the result any more"))
		d.forget(p)
	})
	d.probes[p.id] = p
	go d.run(ctx, p)
	return Invitation{ID: p.id, Key: key, Until: p.until}, nil
}

// run leads a probe to its end, of which somebody may ask as long as they keep asking.
func (d *Desk) run(ctx context.Context, p *running) {
	d.gateway.Enter() // what it needs outlives its configuration
	defer d.gateway.Leave()
	report, err := p.run(ctx)
	p.end(nil)
	log := d.gateway.Platform().Logger.With(zap.String("app", p.app.Name), zap.String("tenant", string(p.tenant)))
	if err != nil {
		log.Warn("probe ended without a report", zap.Error(err))
	} else {
		log.Info("probe ended", zap.Int("observed", report.Observed()), zap.Int("differing", report.Differing()))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.stage, p.report, p.err = Over, report, err
	close(p.over)
}

func (d *Desk) forget(p *running) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.probes, p.id)
}

// Result returns how a probe is: at once when it is over, and within seconds otherwise. A client that does not ask for
// half a minute ends it. The end of a probe is told once.
func (d *Desk) Result(ctx context.Context, id string) (Result, error) {
	d.mu.Lock()
	p := d.probes[id]
	d.mu.Unlock()
	if p == nil {
		return Result{}, ErrUnknown
	}
	p.abandoned.Reset(abandonedAfter)
	wait := time.NewTimer(pollTime)
	defer wait.Stop()
	select {
	case <-p.over:
		p.abandoned.Stop()
		d.forget(p)
	case <-wait.C:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return Result{Stage: p.stage, Until: p.until, Report: p.report, Err: p.err}, nil
}

// About is what a person is told who follows the address.
type About struct {
	App    string
	Tenant superoffice.Tenant
	Until  time.Time
}

// Invited returns what a key begins; ok is false for one that begins nothing, or did so already.
func (d *Desk) Invited(key string) (about About, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.keyed(key)
	if p == nil {
		return About{}, false
	}
	return About{p.app.Name, p.tenant, p.until}, true
}

// keyed finds the probe whose sign-ins a key begins; d.mu is held. Digests are compared: how long that takes says
// nothing about a key.
func (d *Desk) keyed(key string) *running {
	digest := sha256.Sum256([]byte(key))
	for _, p := range d.probes {
		if p.stage == ForSignIn && p.used == 0 && p.key == digest && time.Now().Before(p.until) {
			return p
		}
	}
	return nil
}

// SignIn begins the first sign-in of the probe that a key is for, and uses the key up. It returns where the browser goes,
// and the secret that shows SuperID's answers to come from the same browser.
func (d *Desk) SignIn(key, redirectURI string) (target, browser string, until time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.keyed(key)
	if p == nil {
		return "", "", time.Time{}, false
	}
	browser = rand.Text()
	p.browser, p.redirect = sha256.Sum256([]byte(browser)), redirectURI
	return p.attempt(true), browser, p.until, true
}

// statePrefix begins the states of probes' sign-ins, and of no others: they are base32.
const statePrefix = "probe-"

// IsState reports whether a state is that of a probe's sign-in, at this gateway or at another.
func IsState(state string) bool { return strings.HasPrefix(state, statePrefix) }

// expecting finds the probe whose sign-in has that state; d.mu is held.
func (d *Desk) expecting(state string) *running {
	for _, p := range d.probes {
		if IsState(state) && p.stage == ForSignIn && sha256.Sum256([]byte(p.now.State)) == sha256.Sum256([]byte(state)) {
			return p
		}
	}
	return nil
}

// Ending is what a person's visit came to.
type Ending int

const (
	// Again: the browser goes to SuperID once more.
	Again Ending = iota
	// Thanks: nothing is left to do for the person.
	Thanks
	// Failed: SuperID did not sign in. The operator is told why.
	Failed
	// Unknown: the answer is to no sign-in of a probe here, or to one that is over.
	Unknown
	// Stranger: another browser began it.
	Stranger
)

// Answer takes SuperID's answer to a sign-in. target is where the browser goes for Again.
func (d *Desk) Answer(state, browser string, answer url.Values) (ending Ending, target string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.expecting(state)
	switch {
	case p == nil:
		return Unknown, ""
	case sha256.Sum256([]byte(browser)) != p.browser:
		return Stranger, ""
	}
	got := answered{attempt: p.now, code: answer.Get("code"), refused: superid.Clean(answer.Get("error"))}
	p.now = superid.SignIn{} // each is answered once
	p.answers <- got         // which has room for every attempt
	first := p.used == 1
	switch {
	case got.refused != "" && (!first || !got.maybeForPKCE()), got.refused == "" && got.code == "":
		return Failed, ""
	case first:
		return Again, p.attempt(got.refused == "")
	}
	p.stage, p.until = ForAnswers, time.Now().Add(questionTime)
	return Thanks, ""
}

// attempt begins the next sign-in; desk.mu is held.
func (p *running) attempt(pkce bool) (target string) {
	p.used++
	p.now = superid.SignIn{Tenant: p.tenant, RedirectURI: p.redirect, State: statePrefix + rand.Text(), Nonce: rand.Text()}
	if pkce {
		p.now.Verifier = oauth2.GenerateVerifier()
	}
	return p.app.SuperID.AuthorizeURL(p.now)
}
