package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Sessions are the browser sessions of one app. Signing in is not theirs; keeping a
// person's SuperOffice token good while the session lasts is.
type Sessions struct {
	// App is the name of the app that people signed in to, Client what renews their tokens.
	App     string
	Client  *superid.Client
	Manager *session.Manager

	framed   bool
	g        *Gateway
	renewals singleflight.Group
	failures auth.Backoff
}

func newSessions(g *Gateway, config *SessionConfig) *Sessions {
	return &Sessions{
		App: config.App, Client: g.apps[config.App].SuperID, framed: config.Framed, g: g,
		Manager: &session.Manager{Keys: g.keys, Store: g.state.Sessions, Recent: g.state.recent, Idle: config.Idle, Lifetime: config.Lifetime, PerPerson: config.PerPerson},
	}
}

// sessionCredential is the signed-in person's own Bearer.
type sessionCredential struct {
	sessions *Sessions
	token    session.Token
	session  session.Session
	// recalled says that the store has not confirmed the session yet, and failed why it does not hold. They are a call's until it
	// is decided on.
	recalled bool
	failed   *auth.Refusal
}

func (c *sessionCredential) get(ctx context.Context) (auth.Credential, *auth.Refusal) {
	fresh, refusal := c.sessions.fresh(ctx, c.token, c.session, auth.Secret{})
	return bearer(fresh), refusal
}

func (c *sessionCredential) replace(ctx context.Context, rejected auth.Credential, _ bool) (auth.Credential, *auth.Refusal) {
	next, refusal := c.sessions.fresh(ctx, c.token, c.session, rejected.Value)
	return bearer(next), refusal
}

func (*sessionCredential) exhausted() auth.Reason { return auth.SignInAgain }

func bearer(s session.Session) auth.Credential {
	return auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: s.Access, Expires: s.AccessExpires}
}

// renewAhead is how long before its end a person's token is renewed; a fifth of
// its life where that is shorter.
const renewAhead = time.Minute

// usable reports whether the session's token can be used now and is not the one that was rejected.
func usable(now time.Time, s *session.Session, rejected auth.Secret) bool {
	return now.Before(s.AccessExpires) && (rejected.IsZero() || !s.Access.Equal(rejected.Reveal()))
}

// lasting reports whether the session's token need not be renewed either.
func lasting(s *session.Session, rejected auth.Secret) bool {
	now := time.Now()
	return usable(now, s, rejected) && now.Before(s.RenewAt(renewAhead))
}

// fresh returns the session with a token that can be used: its own while that lasts
// and was not rejected, or one that is renewed, once for all who wait, here and at the other gateways.
func (n *Sessions) fresh(ctx context.Context, token session.Token, s session.Session, rejected auth.Secret) (session.Session, *auth.Refusal) {
	if lasting(&s, rejected) || s.Refresh.IsZero() && usable(time.Now(), &s, rejected) { // one that cannot be renewed lasts to its end
		return s, nil
	}
	return n.renewed(ctx, token, s, rejected)
}

// renewed is fresh for a token that is due. It is a function of its own because its closure has the session allocated,
// which no other call needs.
func (n *Sessions) renewed(ctx context.Context, token session.Token, s session.Session, rejected auth.Secret) (session.Session, *auth.Refusal) {
	place := token.Place()
	// A failure ahead of time was felt by nobody: when there is no token left, it is tried at once.
	ahead := usable(time.Now(), &s, rejected)
	attempts := string(place[:])
	if ahead {
		attempts = "ahead " + attempts
	}
	if n.failures.Blocked(attempts) {
		if ahead {
			return s, nil
		}
		return s, auth.Refuse(auth.CredentialUnavailable, errors.New("SuperID renewed nothing a moment ago")).After(2 * time.Second)
	}
	done := n.renewals.DoChan(string(place[:]), func() (any, error) {
		renewed, err := n.renewOnce(token, rejected, ahead && usable(time.Now(), &s, rejected))
		if !unstored(err) {
			n.failures.Record(attempts, err == nil)
		}
		return renewed, err
	})
	if ahead {
		return s, nil // the renewal goes on beside the call
	}
	select {
	case result := <-done:
		renewed, _ := result.Val.(session.Session)
		switch {
		case result.Err == nil:
			return renewed, nil
		case expired(result.Err):
			return s, n.g.signInAgain(result.Err)
		case unstored(result.Err):
			return s, auth.Refuse(auth.SessionUnavailable, result.Err).After(time.Second)
		}
		return s, auth.Refuse(auth.CredentialUnavailable, result.Err).After(2 * time.Second)
	case <-ctx.Done():
		return s, auth.Refuse(auth.CredentialUnavailable, ctx.Err()).After(time.Second)
	}
}

// renewOnce renews the token unless another gateway does so. A caller whose token is still usable
// does not wait, so that a failure is not tried again at once.
func (n *Sessions) renewOnce(token session.Token, rejected auth.Secret, unwaited bool) (session.Session, error) {
	ctx, cancel := n.g.detached(renewalWait)
	defer cancel()
	place := token.Place()
	renewed, err := session.Session{}, error(context.DeadlineExceeded)
	lease.Do(ctx, n.g.state.Locker, auth.Key("session", string(place[:])), func(ctx context.Context) bool {
		stored, found, loadErr := n.Manager.Load(ctx, token)
		switch {
		case loadErr != nil:
			return false
		case !found:
			err = errSessionEnded
			return true
		case lasting(&stored, rejected):
			renewed, err = stored, nil
			return true
		}
		return false
	}, func(ctx context.Context) {
		auth.Retry(ctx, func() bool {
			renewed, err = n.renew(ctx, token)
			return err == nil || unwaited || expired(err) || unstored(err) || misconfigured(err)
		})
	})
	return renewed, err
}

// expired reports whether a session cannot be renewed any more.
func expired(err error) bool {
	var refused *superid.Error
	return errors.Is(err, errSessionEnded) || errors.As(err, &refused) && refused.Kind == superid.Ended
}

// misconfigured reports whether SuperID refused the app's own request: trying again at once gives the same.
func misconfigured(err error) bool {
	var refused *superid.Error
	return errors.As(err, &refused) && refused.Kind == superid.Misconfigured
}

var errSessionEnded = errors.New("the session has ended")

// storeError is why the store did not tell a session. SuperID was not asked then.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// unstored reports whether a renewal failed at the store.
func unstored(err error) bool { return errors.As(err, new(storeError)) }

// renew asks SuperID for a new token. A refusal that is meant for good ends the session.
func (n *Sessions) renew(ctx context.Context, token session.Token) (session.Session, error) {
	stored, found, err := n.Manager.Load(ctx, token)
	switch {
	case err != nil:
		return stored, storeError{err}
	case !found:
		return stored, errSessionEnded
	}
	if stored.Refresh.IsZero() { // its provider gives none out: it lasts as long as its access token
		_ = n.Manager.End(ctx, token)
		return stored, errSessionEnded
	}
	tokens, err := n.Client.Refresh(ctx, stored.Refresh, stored.Redirect)
	n.g.platform.Metrics.Renewal(outcome.SessionToken, outcome.ResultOf(err == nil, expired(err)))
	n.g.apps[n.App].SuperIDAnswered(err)
	if expired(err) {
		n.g.platform.Logger.Info("session ended: SuperID does not renew it", zap.String("app", n.App), zap.String("tenant", string(stored.Tenant)), zap.Error(err))
		_ = n.Manager.End(ctx, token)
	}
	if err != nil {
		return stored, err
	}
	renewed := func(s *session.Session) {
		s.Access, s.AccessIssued, s.AccessExpires = tokens.Access, time.Now(), tokens.Expires
		if !tokens.Refresh.IsZero() { // SuperID sends none; the old one stays
			s.Refresh = tokens.Refresh
		}
	}
	updated, found, err := n.Manager.Update(ctx, token, renewed)
	switch {
	case err != nil:
		// The new token cannot be shared. It serves its own caller all the same.
		n.g.platform.Logger.Warn("store unavailable; a renewed token is not kept", zap.String("app", n.App), zap.String("tenant", string(stored.Tenant)), zap.Error(err))
		renewed(&stored)
		return stored, nil
	case !found:
		return stored, errSessionEnded
	}
	return updated, nil
}
