package systemuser

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	answerTimeout = 20 * time.Second
	maxAnswer     = 256 << 10

	// TicketLifetime is how long a ticket is used before the next is minted. It
	// lives six hours from its last use; what counts as a use is not published.
	TicketLifetime = 5 * time.Hour
)

// RefusedError means that SuperOffice minted no ticket: trying again gives the same.
type RefusedError struct {
	// Message is the vendor's own, bounded and in one line.
	Message string
}

func (e *RefusedError) Error() string { return "system user refused: " + e.Message }

// Ticket is the system user's, in one tenant.
type Ticket struct {
	Value   auth.Secret
	API     string
	Expires time.Time
}

// Client mints tickets for one app.
type Client struct {
	Environment superoffice.Environment
	// AppToken is the app's client secret, asked at each use.
	AppToken func() auth.Secret
	// PrivateKey is the app's, asked at each use.
	PrivateKey func() (*rsa.PrivateKey, error)
	// HTTP makes the requests. It must not follow redirects.
	HTTP *http.Client
	Keys *idp.KeySet
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Mint asks for a ticket, once. Errors are *RefusedError for a system token, an
// approval, a secret or a key that SuperOffice does not take; everything else may pass.
func (c *Client) Mint(ctx context.Context, tenant superoffice.Tenant, systemToken auth.Secret) (Ticket, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	body, err := c.request(tenant, systemToken, now())
	if err != nil {
		return Ticket{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Environment.Base()+"/Login/api/PartnerSystemUser/Authenticate", bytes.NewReader(body))
	if err != nil {
		return Ticket{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
			err = withURL.Err
		}
		return Ticket{}, fmt.Errorf("system user: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		IsSuccessful        bool
		Token, ErrorMessage string
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return Ticket{}, fmt.Errorf("system user: HTTP %d and no answer in JSON", resp.StatusCode)
	}
	if !answer.IsSuccessful {
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			return Ticket{}, fmt.Errorf("system user: HTTP %d", resp.StatusCode)
		}
		return Ticket{}, &RefusedError{superid.Clean(answer.ErrorMessage)}
	}
	proven, err := superid.VerifySystemTicket(ctx, c.Environment, c.Keys, answer.Token, tenant, now)
	if err != nil {
		return Ticket{}, err
	}
	return Ticket{Value: proven.Ticket, API: proven.API, Expires: now().Add(TicketLifetime)}, nil
}

func (c *Client) request(tenant superoffice.Tenant, systemToken auth.Secret, now time.Time) ([]byte, error) {
	key, err := c.PrivateKey()
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signed, err := sign(key, systemToken, now)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{
		"SignedSystemToken": signed,
		"ApplicationToken":  c.AppToken().Reveal(),
		"ContextIdentifier": string(tenant),
		"ReturnTokenType":   "JWT",
	})
}

// sign returns <system token>.<yyyyMMddHHmm in UTC>.<signature over both, in base64>.
func sign(key *rsa.PrivateKey, systemToken auth.Secret, now time.Time) (string, error) {
	text := systemToken.Reveal() + "." + now.UTC().Format("200601021504")
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", errors.New("system user: the private key does not sign")
	}
	return text + "." + base64.StdEncoding.EncodeToString(signature), nil
}
