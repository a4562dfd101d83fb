package gateway

import (
	"context"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// SetConsent records what SuperOffice said of an app in a tenant.
func (g *Gateway) SetConsent(app string, tenant superoffice.Tenant, consent outcome.Consent) {
	g.state.health.SetConsent(app, string(tenant), consent, "")
}

// ForgetUngranted and NoticeApprovals are what maintain does from time to time.
func (g *Gateway) ForgetUngranted() { g.forgetUngranted() }

// NoticeApprovals is what maintain does every minute.
func (g *Gateway) NoticeApprovals(ctx context.Context) { g.noticeApprovals(ctx) }

// Fresh returns the session with a token that can be used.
func (n *Sessions) Fresh(ctx context.Context, token session.Token, s session.Session) (session.Session, *auth.Refusal) {
	return n.fresh(ctx, token, s, auth.Secret{})
}

// AwaitRenewal returns when no renewal of the session goes on.
func (n *Sessions) AwaitRenewal(token session.Token) {
	place := token.Place()
	_, _, _ = n.renewals.Do(string(place[:]), func() (any, error) { return nil, nil })
}

// RenewalFailed reports whether the last renewal of a session failed, ahead of time or not.
func (n *Sessions) RenewalFailed(token session.Token) bool {
	place := token.Place()
	return n.failures.Blocked("ahead "+string(place[:])) || n.failures.Blocked(string(place[:]))
}

// LookAfterNotices asks the state service about every tenant of which there was notice, as the gateway does every ten seconds.
func (g *Gateway) LookAfterNotices(ctx context.Context) {
	(&noticeFollower{gateway: g}).look(ctx)
}

// Waiting returns how many requests of an app wait for calls to end.
func (g *Gateway) Waiting(app string) int {
	g.state.background.mu.Lock()
	defer g.state.background.mu.Unlock()
	return g.state.background.waiting[app]
}

// Waits has one more request of an app wait for ever, and reports whether it may.
func (g *Gateway) Waits(app string) bool {
	_, ok := g.state.background.wait(app)
	return ok
}

// AliveGateways returns how many gateways of the store were alive when it was asked last.
func (s *SharedState) AliveGateways() int { return s.roster.Alive() }

// Claim claims as a call of this state's gateway does, and keeps nothing: as one that dies.
func (s *SharedState) Claim(ctx context.Context, r *claim.Request) (claim.Result, error) {
	return s.claims.Claim(ctx, r)
}

// Recalls reports whether a call with the token would not ask for its session.
func (n *Sessions) Recalls(token session.Token) bool {
	_, ok := n.recall(token)
	return ok
}
