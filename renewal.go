package erpsync

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// renewAhead is how long before its end a person's token is renewed; a fifth of
// its life where that is shorter.
const renewAhead = time.Minute

// usable tells that the session's token can be used and is not the one that was refused.
func usable(s session.Session, refused auth.Secret) bool {
	return time.Now().Before(s.AccessExpires) && (refused.IsZero() || !s.Access.Equal(refused.Reveal()))
}

// good tells that the session's token need not be renewed either.
func good(s session.Session, refused auth.Secret) bool {
	return usable(s, refused) && time.Now().Before(s.RenewAt(renewAhead))
}

// fresh gives the session with a token that can be used: its own while that is
// good and not the refused one, or one that is renewed.
func (b *Browser) fresh(ctx context.Context, token session.Token, s session.Session, refused auth.Secret) (session.Session, *auth.Refusal) {
	if good(s, refused) {
		return s, nil
	}
	return b.renewed(ctx, token, s, refused)
}

// renewed gives the session with a token that is renewed once for all who wait, here and at
// the other gateways.
func (b *Browser) renewed(ctx context.Context, token session.Token, s session.Session, refused auth.Secret) (session.Session, *auth.Refusal) {
	place := token.Place()
	// A failure ahead of time was felt by nobody: when there is no token left, it is tried at once.
	ahead := usable(s, refused)
	attempts := map[bool]string{true: "ahead ", false: ""}[ahead] + string(place[:])
	if b.failures.Waits(attempts) {
		if ahead {
			return s, nil
		}
		return s, auth.Refuse(auth.CredentialUnavailable, errors.New("SuperID renewed nothing a moment ago")).After(2 * time.Second)
	}
	done := b.renewals.DoChan(string(place[:]), func() (any, error) {
		ctx, cancel := detached(renewalWait)
		defer cancel()
		renewed, err := session.Session{}, context.DeadlineExceeded
		lease.Do(ctx, b.h.common.locker, auth.Key("session", string(place[:])), func(ctx context.Context) bool {
			stored, loadErr := b.sessions.Load(ctx, token)
			if errors.Is(loadErr, session.ErrNotFound) || loadErr == nil && good(stored, refused) {
				renewed, err = stored, loadErr
				return true
			}
			return false
		}, func(ctx context.Context) {
			auth.Persist(ctx, func() bool {
				renewed, err = b.renew(ctx, token)
				return err == nil || ahead && usable(s, refused) || fatal(err)
			})
		})
		b.failures.Told(attempts, err == nil)
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
		case fatal(result.Err):
			return s, b.again(result.Err)
		}
		return s, auth.Refuse(auth.CredentialUnavailable, result.Err).After(2 * time.Second)
	case <-ctx.Done():
		return s, auth.Refuse(auth.CredentialUnavailable, ctx.Err()).After(time.Second)
	}
}

// fatal tells that a session cannot be renewed any more.
func fatal(err error) bool {
	var refused *superid.Error
	return errors.Is(err, session.ErrNotFound) || errors.As(err, &refused) && refused.Fatal
}

// renew asks SuperID for a new token. A refusal that is meant for good ends the session.
func (b *Browser) renew(ctx context.Context, token session.Token) (session.Session, error) {
	stored, err := b.sessions.Load(ctx, token)
	if err != nil {
		return stored, err
	}
	tokens, err := b.client.Refresh(ctx, stored.Refresh)
	b.h.metrics.Renewal(outcome.SessionToken, outcome.ResultOf(err == nil, fatal(err)))
	if fatal(err) {
		b.h.logger.Info("session ended: SuperID does not renew it", zap.String("app", b.App), zap.String("tenant", string(stored.Tenant)), zap.Error(err))
		_ = b.sessions.End(ctx, token)
	}
	if err != nil {
		return stored, err
	}
	return b.sessions.Update(ctx, token, func(s *session.Session) {
		s.Access, s.AccessIssued, s.AccessExpires = tokens.Access, time.Now(), tokens.Expires
		if !tokens.Refresh.IsZero() { // SuperID sends none; the old one stays
			s.Refresh = tokens.Refresh
		}
	})
}
