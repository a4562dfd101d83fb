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
	ClientSecret func() (auth.Secret, error)
	// Client makes the requests. It must not follow redirects.
	Client *http.Client
	Keys   *KeySet
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
	Refresh auth.Secret // zero after a refresh: the old one stays good
	Expires time.Time
}

// SignIn is an attempt to sign in.
type SignIn struct {
	// Tenant skips SuperID's choice of tenant; Onsite lets the person choose.
	Tenant      superoffice.Tenant
	RedirectURI string
	State       string
	Nonce       string
	// Verifier is the PKCE secret of the attempt.
	Verifier string
	// FormPost has the answer posted to RedirectURI instead of standing in its query.
	FormPost bool
}

func (c *Client) oauth(redirectURI string, tenant superoffice.Tenant) (*oauth2.Config, error) {
	secret, err := c.config.ClientSecret()
	if err != nil {
		return nil, passing("client secret", err)
	}
	realm := "common"
	if tenant != superoffice.Onsite {
		realm = string(tenant)
	}
	base := c.config.Environment.Base()
	return &oauth2.Config{
		ClientID: c.config.ClientID, ClientSecret: secret.Reveal(), RedirectURL: redirectURI, Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/login/" + realm + "/oauth/authorize",
			TokenURL:  base + "/login/common/oauth/tokens",
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}, nil
}

// AuthorizeURL is where the browser goes to sign in.
func (c *Client) AuthorizeURL(s SignIn) (string, error) {
	config, err := c.oauth(s.RedirectURI, s.Tenant)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(s.Verifier), oauth2.SetAuthURLParam("nonce", s.Nonce)}
	if s.FormPost {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	return config.AuthCodeURL(s.State, options...), nil
}

// ErrOtherTenant tells that somebody signed in at another tenant than was asked for.
var ErrOtherTenant = errors.New("signed in at another tenant")

// Exchange turns the code that came back from the attempt s into tokens and
// tells who signed in. Errors are *Error.
func (c *Client) Exchange(ctx context.Context, s SignIn, code string) (Tokens, Identity, error) {
	config, err := c.oauth(s.RedirectURI, s.Tenant)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	answer, err := config.Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return Tokens{}, Identity{}, describe("code", err)
	}
	idToken, _ := answer.Extra("id_token").(string)
	tokens := c.tokens(answer)
	identity, err := c.identify(ctx, idToken, s.Nonce, tokens.Access)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	if s.Tenant != superoffice.Onsite && identity.Tenant != s.Tenant {
		return Tokens{}, Identity{}, refused("id token", "%w: %s, asked for %s", ErrOtherTenant, identity.Tenant, s.Tenant)
	}
	return tokens, identity, nil
}

// Refresh gives a new access token. SuperID sends no new refresh token with it.
func (c *Client) Refresh(ctx context.Context, refresh auth.Secret) (Tokens, error) {
	config, err := c.oauth("", superoffice.Onsite)
	if err != nil {
		return Tokens{}, err
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	answer, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	if err != nil {
		return Tokens{}, describe("refresh", err)
	}
	return c.tokens(answer), nil
}

// Revoke ends a refresh token. What SuperID answers is not documented; every 2xx is taken for done.
func (c *Client) Revoke(ctx context.Context, token auth.Secret) error {
	config, err := c.oauth("", superoffice.Onsite)
	if err != nil {
		return err
	}
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

// SignOutURL is where a browser goes to end its session at SuperID too.
func (c *Client) SignOutURL() string { return c.config.Environment.Base() + "/login/logout" }

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

func describe(step string, err error) *Error {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil {
		if answer.Response.StatusCode >= 400 && answer.Response.StatusCode < 500 && answer.Response.StatusCode != http.StatusTooManyRequests && answer.ErrorCode != "" {
			return fatal(step, answer.ErrorCode, answer.ErrorDescription)
		}
		return passing(step, errors.New("HTTP "+answer.Response.Status))
	}
	return passing(step, err)
}
