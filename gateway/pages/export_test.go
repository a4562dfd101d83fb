package pages

import (
	"encoding/json"
	"time"
)

// SealedLoginState returns the cookie of an attempt that began some time ago or is for some app.
func (p *Pages) SealedLoginState(app string, approval bool, until time.Time, state, redirect string) (cookie string, err error) {
	a := loginState{App: app, Approval: approval, Until: until, State: state, Redirect: redirect}
	plain, err := json.Marshal(a)
	return a.cookie() + "=" + p.keys.Seal(attemptPurpose, p.environment(), plain), err
}

// SealedReturn is the cookie of a sign-in to app that leads to an address.
func (p *Pages) SealedReturn(app, to string, until time.Time, state string) (cookie string, err error) {
	a := loginState{App: app, Return: to, Until: until, State: state}
	plain, err := json.Marshal(a)
	return a.cookie() + "=" + p.keys.Seal(attemptPurpose, p.environment(), plain), err
}
