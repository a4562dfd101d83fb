package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// With a store that several gateways share, a call of a session that this gateway has seen lately does not ask the store for it:
// the session is recalled, and the call's claim has the store confirm, before anything else, that it is alive and of that version.
// Until then it proves nobody. Whatever ends a call before its claim is answered has it loaded first, so that a person who signed
// out elsewhere learns that and nothing else.

// maxReloads is how often a call loads its session that others write meanwhile.
const maxReloads = 3

// browserSession returns the session that a person calls with; nil for every other caller.
func (c *Caller) browserSession() *sessionCredential {
	s, _ := c.own.(*sessionCredential)
	return s
}

// recall returns a session that a call can be made with, if the claim finds it as it is remembered.
func (n *Sessions) recall(token session.Token) (session.Session, bool) {
	s, ok := n.Manager.Recall(token)
	return s, ok && s.App == n.App && lasting(&s, auth.Secret{})
}

// load returns the session that the store has now.
func (n *Sessions) load(ctx context.Context, token session.Token) (session.Session, *auth.Refusal) {
	s, found, err := n.Manager.Load(ctx, token)
	switch {
	case err != nil:
		return s, auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	case !found:
		return s, n.g.signInAgain(session.ErrNotFound)
	case s.App != n.App:
		return s, n.g.signInAgain(fmt.Errorf("the session is of app %s, and sessions are of app %s now", s.App, n.App))
	}
	return s, nil
}

// claim returns what the store is to confirm.
func (c *sessionCredential) claim() claim.Session {
	if c == nil {
		return claim.Session{}
	}
	return claim.Session{Place: c.token.Place(), Version: c.session.Version}
}

// confirmed records that the store has the session as it is here.
func (c *sessionCredential) confirmed() {
	if c != nil {
		c.recalled = false
	}
}

// confirm has a session that was only recalled loaded, and returns why it does not hold; nil: it does, or the caller has none.
func (c *sessionCredential) confirm(ctx context.Context) *auth.Refusal {
	if c == nil || c.failed != nil || !c.recalled {
		return c.refusal()
	}
	return c.reload(ctx, 0)
}

// refusal returns why the session was found not to hold; nil: it was not.
func (c *sessionCredential) refusal() *auth.Refusal {
	if c == nil {
		return nil
	}
	return c.failed
}

// reload loads the session, which the call goes on with, and returns why it does not hold. times counts the call's reloads.
func (c *sessionCredential) reload(ctx context.Context, times int) *auth.Refusal {
	switch s, refusal := c.sessions.load(context.WithoutCancel(ctx), c.token); { // the refusal of one who has left is the same
	case refusal != nil:
		c.failed = refusal
	case s.Principal() != c.session.Principal(): // another was judged
		c.failed = auth.Refuse(auth.SessionUnavailable, errors.New("the session is another person's now")).After(time.Second)
	case times > maxReloads:
		c.failed = auth.Refuse(auth.SessionUnavailable, fmt.Errorf("the session was written %d times while the call was decided on", times)).After(time.Second)
	default:
		c.session, c.recalled = s, false
	}
	return c.failed
}

// sessionRefused returns why the store did not confirm the session.
func (s *sharedDecision) sessionRefused() *auth.Refusal {
	if refusal := s.session.refusal(); refusal != nil {
		return refusal
	}
	return auth.Refuse(auth.SessionUnavailable, errors.New("the store does not confirm a session that the call has not")).After(time.Second)
}

// confirmed returns the refusal of a call, or in its place why the caller's session does not hold. The caller has proved
// nothing then, so that the record knows nothing of it.
func (x *exchange) confirmed(refusal *auth.Refusal) *auth.Refusal {
	failed := x.session.confirm(x.r.Context())
	if failed == nil {
		return refusal
	}
	// As if nothing had come after the proof.
	x.identify(auth.Principal{})
	x.record.Tenant, x.record.Proved = string(x.path.Tenant), false
	x.record.Arguments, x.record.Understood, x.record.KeysSum, x.record.Waited = superoffice.Arguments{}, false, "", 0
	x.w.Header().Del("Accept")
	x.w.Header().Del("Accept-Encoding")
	return failed
}
