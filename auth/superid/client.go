// Package superid signs people in with SuperID, SuperOffice's OpenID Connect
// provider, as it is rather than as the standard has it.
package superid

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	answerTimeout = 20 * time.Second
	maxAnswer     = 256 << 10

	// shortLifetime is taken for an access token whose answer names none.
	shortLifetime = 5 * time.Minute
)

// Config describes one app at one environment.
type Config struct {
	Environment superoffice.Environment
	ClientID    string
	// ClientSecret is asked at each use, since secrets are replaced on disk.
	ClientSecret func() auth.Secret
	// Client makes the requests. It must not follow redirects.
	Client *http.Client
	Keys   *idp.KeySet
	// WithoutPKCE sends no code_challenge beside the client secret. The id_token must repeat the nonce then.
	WithoutPKCE bool
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Client signs people in for one app. It knows the endpoints from the vendor's
// documentation rather than from a discovery document: there is no answer that could
// point it elsewhere, and it starts while SuperOffice is down.
type Client struct{ config Config }

// New makes a client. Nothing is asked until somebody signs in.
func New(config Config) *Client {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Client{config}
}

// Tokens are what a person's sign-in gives.
type Tokens struct {
	Access  auth.Secret
	Refresh auth.Secret // the one to use from now on; zero: none is given out
	Expires time.Time
}

// SignIn is an attempt to sign in.
type SignIn struct {
	// Tenant skips SuperID's choice of tenant; Onsite lets the person choose.
	Tenant      superoffice.Tenant
	RedirectURI string
	State       string
	Nonce       string
	// Verifier is the PKCE secret of the attempt; "" if it goes without.
	Verifier string
	// FormPost has the answer posted to RedirectURI instead of standing in its query.
	FormPost bool
}

func (c *Client) oauth(redirectURI string, tenant superoffice.Tenant) *oauth2.Config {
	realm := "common"
	if tenant != superoffice.Onsite {
		realm = string(tenant)
	}
	base := c.config.Environment.Base()
	return &oauth2.Config{
		ClientID: c.config.ClientID, ClientSecret: c.config.ClientSecret().Reveal(), RedirectURL: redirectURI, Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/login/" + realm + "/oauth/authorize",
			TokenURL:  base + "/login/common/oauth/tokens",
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// NewVerifier returns the PKCE secret of an attempt; "" if the app goes without.
func (c *Client) NewVerifier() string {
	if c.config.WithoutPKCE {
		return ""
	}
	return oauth2.GenerateVerifier()
}

// AuthorizeURL returns where the browser goes to sign in.
func (c *Client) AuthorizeURL(s SignIn) string {
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("nonce", s.Nonce)}
	if s.Verifier != "" {
		options = append(options, oauth2.S256ChallengeOption(s.Verifier))
	}
	if s.FormPost {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	return c.oauth(s.RedirectURI, s.Tenant).AuthCodeURL(s.State, options...)
}

// ErrOtherTenant means that somebody signed in at another tenant than was asked for.
var ErrOtherTenant = errors.New("signed in at another tenant")

// CheckIssuer returns an error if the answer to a redirect address names another issuer than SuperID (RFC 9207). One
// that names none is taken.
func (c *Client) CheckIssuer(answer url.Values) error {
	for _, issuer := range answer["iss"] {
		if issuer != c.config.Environment.Base() {
			return refused("callback", "iss is not %s: the answer is of another issuer", c.config.Environment.Base())
		}
	}
	return nil
}

// Exchange turns the code that came back from the attempt s into tokens and
// tells who signed in. Errors are *Error.
func (c *Client) Exchange(ctx context.Context, s SignIn, code string) (Tokens, Identity, error) {
	config := c.oauth(s.RedirectURI, s.Tenant)
	ctx, cancel := c.context(ctx)
	defer cancel()
	var options []oauth2.AuthCodeOption
	if s.Verifier != "" {
		options = append(options, oauth2.VerifierOption(s.Verifier))
	}
	answer, err := config.Exchange(ctx, code, options...)
	if err != nil {
		return Tokens{}, Identity{}, describe("code", err)
	}
	idToken, _ := answer.Extra("id_token").(string)
	tokens := c.tokens(answer)
	identity, err := c.identify(ctx, idToken, s, tokens.Access)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	if s.Tenant != superoffice.Onsite && identity.Tenant != s.Tenant {
		return Tokens{}, Identity{}, refused("id token", "%w: %s, asked for %s", ErrOtherTenant, identity.Tenant, s.Tenant)
	}
	return tokens, identity, nil
}

// Refresh returns a new access token. SuperID's refresh token stays good; of a provider that rotates them the next one is returned. Whether
// SuperID asks for the sign-in's redirect address is not documented, so it is sent unless it is "". Errors are *Error.
func (c *Client) Refresh(ctx context.Context, refresh auth.Secret, redirectURI string) (Tokens, error) {
	config := c.oauth("", superoffice.Onsite)
	ctx, cancel := c.context(ctx)
	defer cancel()
	if redirectURI != "" {
		client := ctx.Value(oauth2.HTTPClient).(*http.Client)
		client.Transport = formTransport{client.Transport, url.Values{"redirect_uri": {redirectURI}}}
	}
	answer, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	if err != nil {
		return Tokens{}, describe("refresh", err)
	}
	return c.tokens(answer), nil
}

// Revoke ends a refresh token at SuperID. What that answers is not documented; every 2xx is taken for done.
func (c *Client) Revoke(ctx context.Context, token auth.Secret) error {
	config := c.oauth("", superoffice.Onsite)
	ctx, cancel := c.context(ctx)
	defer cancel()
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"refresh_token"}, "client_id": {config.ClientID}, "client_secret": {config.ClientSecret}}
	resp, err := postForm(ctx, c.config.Client, c.config.Environment.Base()+"/login/common/oauth/revoke", form)
	if err != nil {
		return passing("revoke", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return passing("revoke", errors.New(resp.Status))
	}
	return nil
}

// SignOutURL returns where a browser goes to end its session at SuperID too. SuperID sends it on to next, if that is among the
// app's registered addresses; "" leaves the browser there.
//
// No id_token_hint goes along: SuperID's id_tokens are longer than all that a session may take. client_id names the app instead
// (OpenID Connect RP-Initiated Logout 1.0, section 2).
func (c *Client) SignOutURL(next string) string {
	target := c.config.Environment.Base() + "/login/logout"
	if next != "" {
		target += "?" + url.Values{"client_id": {c.config.ClientID}, "post_logout_redirect_uri": {next}}.Encode()
	}
	return target
}

func (c *Client) context(ctx context.Context) (context.Context, context.CancelFunc) {
	bounded := *c.config.Client
	bounded.Transport = boundedTransport{bounded.Transport}
	return context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, &bounded), answerTimeout)
}

func (c *Client) tokens(answer *oauth2.Token) Tokens {
	expires := answer.Expiry
	if expires.IsZero() {
		expires = c.config.Now().Add(shortLifetime)
	}
	return Tokens{Access: auth.NewSecret(answer.AccessToken), Refresh: auth.NewSecret(answer.RefreshToken), Expires: expires}
}
