package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Caller is a caller that has proved itself.
type Caller struct {
	Principal auth.Principal
	// API is the WebAPI at which the caller's own credential was proved; "" if none was.
	API string
	// own is what goes upstream where the app calls as its user; nil for a service, which is no user.
	own credential
}

// authenticator proves one kind of caller.
type authenticator interface {
	// authenticate returns the caller, also of a refused request as far as it is known. mine is false if the
	// request brings nothing that this authenticator judges, so that the next is to be asked; a request that
	// brings something is its own, even if the proof fails: what a caller chose to show is not made up for
	// by something else beside it.
	authenticate(r *http.Request, visit Visit, path superoffice.Call) (caller Caller, mine bool, refusal *auth.Refusal)
}

// newAuthenticators returns those that the configuration admits, in the order in which
// they are asked: a caller that sends Authorization is judged by that alone.
func newAuthenticators(g *Gateway) (all []authenticator) {
	taken := g.config.SuperOffice
	var app *App
	if len(taken.Schemes) > 0 {
		app = g.apps[taken.App]
	}
	all = append(all, repeatedAuthorization{})
	for _, kind := range []presentedKind{bearerKind, ticketKind, basicKind} {
		if taken.takes(kind.scheme) {
			all = append(all, &presentedAuthenticator{g, app, kind})
		}
	}
	if len(g.config.Issuers) > 0 {
		all = append(all, jwtAuthenticator{g.providers})
	}
	all = append(all, otherAuthorization{})
	if g.sessions != nil {
		all = append(all, &sessionAuthenticator{g})
	}
	if taken.takes(auth.WebClientSession) {
		all = append(all, &webClientAuthenticator{g, app})
	}
	return all
}

// authenticate finds out who asks.
func (g *Gateway) authenticate(r *http.Request, visit Visit, path superoffice.Call) (Caller, *App, *auth.Refusal) {
	caller, app, refusal := g.recognise(r, visit, path)
	if failed := caller.browserSession().confirm(r.Context()); failed != nil {
		return Caller{}, nil, failed
	}
	return caller, app, refusal
}

// recognise is authenticate for a call, which has a browser session confirmed with its claim.
func (g *Gateway) recognise(r *http.Request, visit Visit, path superoffice.Call) (Caller, *App, *auth.Refusal) {
	for _, a := range g.authenticators {
		caller, mine, refusal := a.authenticate(r, visit, path)
		if !mine {
			continue
		}
		if refusal != nil {
			return caller, nil, refusal
		}
		app := g.apps[caller.Principal.App]
		if app == nil {
			return caller, nil, auth.Refuse(auth.CredentialInvalid, fmt.Errorf("the app claim names %s, which is not configured", jws.Excerpt(caller.Principal.App)))
		}
		if sent := r.Header["So-Apptoken"]; len(sent) > 1 {
			return caller, nil, auth.Refuse(auth.AppTokenMismatch, errors.New("SO-AppToken occurs more than once"))
		} else if len(sent) == 1 && !app.AppToken().Equal(sent[0]) {
			return caller, nil, auth.Refuse(auth.AppTokenMismatch, fmt.Errorf("SO-AppToken is not the client secret of app %s", app.Name))
		}
		return caller, app, nil
	}
	refusal := auth.Refuse(auth.CredentialMissing, errors.New("no Authorization header and no cookie of a session that is taken here"))
	refusal.SignIn = g.config.Links.SignIn
	return Caller{}, nil, refusal
}

// repeatedAuthorization refuses several Authorization headers: nobody can tell which was meant.
type repeatedAuthorization struct{}

func (repeatedAuthorization) authenticate(r *http.Request, _ Visit, _ superoffice.Call) (Caller, bool, *auth.Refusal) {
	if len(r.Header["Authorization"]) < 2 {
		return Caller{}, false, nil
	}
	return Caller{}, true, auth.Refuse(auth.CredentialInvalid, errors.New("several Authorization headers"))
}

// otherAuthorization refuses an Authorization header that no authenticator takes.
type otherAuthorization struct{}

func (otherAuthorization) authenticate(r *http.Request, _ Visit, _ superoffice.Call) (Caller, bool, *auth.Refusal) {
	if len(r.Header["Authorization"]) == 0 {
		return Caller{}, false, nil
	}
	return Caller{}, true, auth.Refuse(auth.CredentialInvalid, fmt.Errorf("header Authorization is %s, which is not taken here", kindOfAuthorization(r)))
}

// authorization splits the Authorization header, which must occur once.
func authorization(r *http.Request) (scheme, token string) {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return "", ""
	}
	scheme, token, _ = strings.Cut(values[0], " ")
	return scheme, strings.TrimSpace(token)
}

// kindOfAuthorization names what an Authorization header holds, without what may be a secret.
func kindOfAuthorization(r *http.Request) string {
	switch scheme, token := authorization(r); {
	case token == "":
		return "one word without a scheme"
	case strings.EqualFold(scheme, bearerKind.name) && strings.HasPrefix(token, accessTokenPrefix):
		return "a Bearer of SuperOffice"
	case strings.EqualFold(scheme, bearerKind.name):
		return "a Bearer of an identity provider"
	case len(scheme) > maxScheme || strings.ContainsFunc(scheme, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') }):
		return "of an unknown scheme"
	default:
		return "of the scheme " + scheme
	}
}

// maxScheme is the longest name of a scheme that a cause repeats: what is longer may be a secret.
const maxScheme = 20

// bringsBearer reports whether a request carries one token in the scheme of RFC 6750.
func bringsBearer(r *http.Request) bool {
	scheme, token := authorization(r)
	return strings.EqualFold(scheme, bearerKind.name) && token != ""
}

// answeringBearer returns a refusal that says so where it answers a Bearer token that did not hold.
func answeringBearer(r *http.Request, refusal *auth.Refusal) *auth.Refusal {
	if refusal.Status != http.StatusUnauthorized || !bringsBearer(r) {
		return refusal
	}
	mine := *refusal // which others may have been given as well
	mine.InvalidToken = true
	return &mine
}
