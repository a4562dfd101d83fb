package superid

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Assumptions are what the client takes for granted of SuperID where nothing is documented. Each is what
// Exchange and Refresh do; a probe compares them with what SuperID does.
type Assumptions struct {
	// PKCE: a code challenge goes along with the client secret. PKCEOff is the option that sends none, such as "pkce off";
	// "" if there is none.
	PKCE    bool
	PKCEOff string
	// NonceRequired, UPNRequired and APIClaimRequired: an id_token without nonce, upn or webapi_url signs nobody in.
	NonceRequired, UPNRequired, APIClaimRequired bool
	// RedirectURIAtRefresh: a refresh sends the sign-in's redirect_uri.
	RedirectURIAtRefresh bool
}

// Assumes returns what the client takes for granted.
func (c *Client) Assumes() Assumptions {
	return Assumptions{PKCE: !c.config.WithoutPKCE, PKCEOff: "pkce off", NonceRequired: c.config.WithoutPKCE, RedirectURIAtRefresh: true}
}

// Examination is what SuperID's answer to a code holds. Its id_token is SuperID's, was issued for this app and is in
// date; nothing else was judged, so that it proves nobody and must begin no session.
type Examination struct {
	Tokens        Tokens
	Tenant        superoffice.Tenant
	Administrator bool
	// Nonce is the id_token's; "" if it has none.
	Nonce string
	// UPN, APIClaim and SystemToken report which claims there are.
	UPN, APIClaim, SystemToken bool
}

// RefusedError says that the token endpoint refused what was examined.
type RefusedError struct {
	// Code is SuperID's error; "" if it sent none.
	Code string
}

func (e *RefusedError) Error() string {
	return "superid: refused: " + cmp.Or(e.Code, "no error is named")
}

// Examine redeems a code as Exchange does, and reports what the answer holds instead of who signed in. Without a
// Verifier none is sent. Errors are *RefusedError or *Error; the
// tokens are returned with an id_token that is not SuperID's too, to be revoked.
func (c *Client) Examine(ctx context.Context, s SignIn, code string) (Examination, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.RedirectURI}}
	if s.Verifier != "" {
		form.Set("code_verifier", s.Verifier)
	}
	answer, err := c.examineTokens(ctx, "code", form)
	if err != nil {
		return Examination{}, err
	}
	var claims vendorClaims
	ctx, cancel := c.context(ctx)
	defer cancel()
	if err := verify(ctx, c.config.Keys, answer.IDToken, &claims, c.config.Now, jwt.WithIssuer(c.config.Environment.Base()), jwt.WithAudience(c.config.ClientID)); err != nil {
		return Examination{Tokens: answer.tokens(c)}, err
	}
	tenant, _ := superoffice.ParseTenant(claims.Tenant)
	return Examination{
		Tokens: answer.tokens(c), Tenant: tenant, Administrator: claims.Administrator == "True",
		Nonce: claims.Nonce, UPN: claims.UPN != "", APIClaim: claims.WebAPI != "", SystemToken: claims.SystemToken != "",
	}, nil
}

// ExamineRefresh refreshes with exactly that redirect_uri, "" for none. Errors are *RefusedError or *Error.
func (c *Client) ExamineRefresh(ctx context.Context, refresh auth.Secret, redirectURI string) (Tokens, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}
	if redirectURI != "" {
		form.Set("redirect_uri", redirectURI)
	}
	answer, err := c.examineTokens(ctx, "refresh", form)
	if err != nil {
		return Tokens{}, err
	}
	return answer.tokens(c), nil
}

// examined is what is read of the token endpoint's answer.
type examined struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	IDToken      string      `json:"id_token"`
	ExpiresIn    json.Number `json:"expires_in"` // a number, or one in text
	Error        string      `json:"error"`
}

func (a examined) tokens(c *Client) Tokens {
	lifetime := shortLifetime
	if seconds, err := a.ExpiresIn.Int64(); err == nil && seconds > 0 && seconds < 1<<31 {
		lifetime = time.Duration(seconds) * time.Second
	}
	return Tokens{Access: auth.NewSecret(a.AccessToken), Refresh: auth.NewSecret(a.RefreshToken), Expires: c.config.Now().Add(lifetime)}
}

// examineTokens asks the token endpoint. It writes the request itself, so that nothing is in it but the form.
func (c *Client) examineTokens(ctx context.Context, step string, form url.Values) (examined, error) {
	config := c.oauth("", superoffice.Onsite)
	form.Set("client_id", config.ClientID)
	form.Set("client_secret", config.ClientSecret)
	ctx, cancel := c.context(ctx)
	defer cancel()
	resp, err := postForm(ctx, c.config.Client, config.Endpoint.TokenURL, form)
	if err != nil {
		return examined{}, passing(step, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return examined{}, passing(step, err)
	}
	var answer examined
	unreadable := json.Unmarshal(raw, &answer) != nil
	switch {
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return examined{}, &RefusedError{Code: Clean(answer.Error)}
	case resp.StatusCode != http.StatusOK:
		return examined{}, passing(step, errors.New("HTTP "+resp.Status))
	case unreadable || answer.AccessToken == "":
		return examined{}, passing(step, errors.New("the answer holds no access token"))
	}
	return answer, nil
}
