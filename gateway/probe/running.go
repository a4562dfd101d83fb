package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// attempts is how often a person signs in: once for a code that is redeemed with a wrong verifier, and once for the rest.
// The second sign-in is no approval, since the first was it where one was due.
const attempts = 2

// running is a probe on its way.
type running struct {
	desk    *Desk
	id      string
	key     [32]byte // the digest of the address's secret
	app     *gateway.App
	tenant  superoffice.Tenant
	options Options

	answers   chan answered
	over      chan struct{} // closed with the end
	end       context.CancelCauseFunc
	abandoned *time.Timer

	// Under desk.mu.
	stage    Stage
	until    time.Time
	used     int            // sign-ins that were begun
	now      superid.SignIn // the one that is awaited; zero: none
	browser  [32]byte       // the digest of what only the browser of the first knows
	redirect string
	report   *Report
	err      error

	refresh []auth.Secret // to be revoked
}

// answered is SuperID's answer to a sign-in.
type answered struct {
	attempt superid.SignIn
	code    string
	refused string // SuperID's error
}

// maybeForPKCE reports whether the error can be about the code challenge.
func (a answered) maybeForPKCE() bool {
	return superid.ReadApproval(a.refused, "") == superid.ApprovalUnregistered
}

// failed says how the sign-in ended.
func (a answered) failed() error {
	return fmt.Errorf("SuperID did not sign in: %s", cmp.Or(a.refused, "it does not say why"))
}

// observations are what the service did.
type observations struct {
	pkce    string
	answer  *superid.Examination
	nonce   string // that was asked for
	refresh refreshes
	expired expiry
	agent   agentAnswer
	keys    keyArchive
}

// run asks every question, and gives everything back that it got for that.
func (p *running) run(ctx context.Context) (*Report, error) {
	defer p.throwAway()
	var seen observations
	if err := p.signIns(ctx, &seen); err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	seen.refresh = p.refreshes(asking, seen.answer.Tokens.Refresh)
	api := p.locate(asking)
	p.agent(asking, api, &seen)
	p.keyArchive(asking, api, &seen)
	if err := p.expiry(ctx, api, &seen); err != nil {
		return nil, err
	}
	return p.judge(&seen), nil
}

// signIns redeems the codes of both sign-ins, the first with a wrong verifier.
func (p *running) signIns(ctx context.Context, seen *observations) error {
	ctx, cancel := context.WithTimeoutCause(ctx, signInTime, errors.New("nobody signed in in time"))
	defer cancel()
	first, err := p.await(ctx)
	if err != nil {
		return err
	}
	refused := first.refused != ""
	switch {
	case refused && !first.maybeForPKCE(), !refused && first.code == "":
		return first.failed()
	case !refused:
		seen.pkce = p.redeemWrongly(ctx, first)
	}
	second, err := p.await(ctx)
	switch {
	case err != nil:
		return err
	case second.refused != "" || second.code == "":
		return second.failed()
	}
	answer, err := p.app.SuperID.Examine(ctx, second.attempt, second.code)
	p.keep(answer.Tokens.Refresh)
	switch {
	case err != nil:
		return fmt.Errorf("SuperID's answer to a sign-in cannot be used: %w", err)
	case answer.Tenant != p.tenant:
		return errors.New("somebody signed in at another tenant than the probe is for")
	}
	if refused {
		seen.pkce = pkceRefused // the same without a challenge went well
	}
	seen.answer, seen.nonce = &answer, second.attempt.Nonce
	return nil
}

// await returns SuperID's next answer.
func (p *running) await(ctx context.Context) (answered, error) {
	select {
	case got := <-p.answers:
		return got, nil
	case <-ctx.Done():
		return answered{}, context.Cause(ctx)
	}
}

// redeemWrongly redeems a code with a verifier that is not its own.
func (p *running) redeemWrongly(ctx context.Context, got answered) string {
	got.attempt.Verifier = oauth2.GenerateVerifier()
	answer, err := p.app.SuperID.Examine(ctx, got.attempt, got.code)
	p.keep(answer.Tokens.Refresh)
	var refused *superid.RefusedError
	switch {
	case !answer.Tokens.Access.IsZero():
		return pkceIgnored
	case errors.As(err, &refused):
		return pkceEnforced // the second sign-in shows that nothing else was wrong
	}
	return ""
}

// keep notes a token that is to be revoked.
func (p *running) keep(refresh auth.Secret) {
	if !refresh.IsZero() {
		p.refresh = append(p.refresh, refresh)
	}
}

// throwAway revokes what the sign-ins brought, as far as SuperID lets it. Access tokens end by themselves.
func (p *running) throwAway() {
	ctx, cancel := p.desk.gateway.Detached(20 * time.Second)
	defer cancel()
	for _, token := range p.refresh {
		_ = p.app.SuperID.Revoke(ctx, token) // it is forgotten either way
	}
	p.refresh = nil
}

// enter notes what the probe waits for now.
func (p *running) enter(stage Stage, until time.Time) {
	p.desk.mu.Lock()
	defer p.desk.mu.Unlock()
	p.stage, p.until = stage, until
}
