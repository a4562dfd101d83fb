package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// changeTypes are the changes of a tenant that SuperOffice tells an app of, by their number.
var changeTypes = []string{"Upgrade", "BackupRestored", "Suspend", "Resume", "Delete", "Move"}

// Push is a tenant status push: what SuperOffice posts to an app's State Change URL, and what is wrong with it.
// The body's fields are documented; the claims of its token and the key that signs it are not, so they are the
// switches push_claims and push_key.
type Push struct {
	// URL receives it; only this machine is ever posted to.
	URL string `json:"url"`
	// App is whose push it is: the token's audience. The default is portal.
	App    string `json:"app,omitempty"`
	Tenant string `json:"tenant"`
	// Change is Upgrade, BackupRestored, Suspend, Resume, Delete or Move, or any number.
	Change string `json:"change"`
	// PublicEndpoint is where a tenant moves to.
	PublicEndpoint string `json:"public_endpoint,omitempty"`
	// TokenTenant and TokenChange are what the token says where that is not what the body says.
	TokenTenant string `json:"token_tenant,omitempty"`
	TokenChange string `json:"token_change,omitempty"`
	// Signature is good, wrong (a key of nobody's) or none (alg none).
	Signature string `json:"signature,omitempty"`
	// Age is how long ago the token was signed, such as 1h; a token lives five minutes.
	Age string `json:"age,omitempty"`
	// Times is how often the same body is posted; 0 is once.
	Times int `json:"times,omitempty"`
	// Replay posts the last push's body again as it is; only URL and Times count then.
	Replay bool `json:"replay,omitempty"`
	// Padding adds a field of that many bytes to the body.
	Padding int `json:"padding,omitempty"`
	// Apply has the tenant change as the push says, so that the state service agrees.
	Apply bool `json:"apply,omitempty"`
}

// PushAnswer is what the receiver answered.
type PushAnswer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// Push posts a tenant status push and returns what was answered, once for each time.
func (s *Sandbox) Push(ctx context.Context, p Push) ([]PushAnswer, error) {
	target, err := url.Parse(p.URL)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || !isLoopback(target.Hostname()) {
		return nil, fmt.Errorf("push: url %q is not on this machine; use http://127.0.0.1 or http://localhost", p.URL)
	}
	body, err := s.pushBody(p)
	if err != nil {
		return nil, err
	}
	var answers []PushAnswer
	for range max(1, p.Times) {
		answer, err := postLoopback(ctx, p.URL, body)
		if err != nil {
			return answers, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func (s *Sandbox) pushBody(p Push) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Replay {
		if s.pushed == nil {
			return nil, errors.New("push: there was none to replay")
		}
		return s.pushed, nil
	}
	t := s.tenant(p.Tenant)
	if t == nil {
		return nil, fmt.Errorf("push: no tenant %q", p.Tenant)
	}
	change, err := changeType(p.Change)
	if err != nil {
		return nil, err
	}
	token, err := s.pushToken(p, t, change)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{"ChangeType": change, "ContextIdentifier": t.id, "VersionName": "12.4", "FileVersion": "12.4.1.0", "Token": token}
	if p.PublicEndpoint != "" {
		fields["PublicEndpoint"] = p.PublicEndpoint
	}
	if p.Padding > 0 {
		fields["Padding"] = strings.Repeat("x", p.Padding)
	}
	if p.Apply {
		s.applyChange(t, change, p.PublicEndpoint)
	}
	s.pushed, err = json.Marshal(fields)
	return s.pushed, err
}

func changeType(text string) (int, error) {
	if i := slices.IndexFunc(changeTypes, func(name string) bool { return strings.EqualFold(name, text) }); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("push: change %q is none of %s", text, strings.Join(changeTypes, ", "))
}

// pushToken signs the push's token; s.mu is held.
func (s *Sandbox) pushToken(p Push, t *tenant, change int) (string, error) {
	name := p.App
	if name == "" {
		name = "portal"
	}
	app := s.app(name)
	if app == nil {
		return "", fmt.Errorf("push: no app %q", name)
	}
	age := time.Duration(0)
	if p.Age != "" {
		var err error
		if age, err = time.ParseDuration(p.Age); err != nil {
			return "", fmt.Errorf("push: invalid age %q: must have a unit, such as 1h", p.Age)
		}
	}
	issued := s.now().Add(-age).Unix()
	claims := jwt.MapClaims{"iss": s.base, "aud": app.ClientID, "iat": issued, "exp": issued + 300, "jti": random(8)}
	if s.switches.PushClaims != "none" {
		claims[claimPrefix+"ctx"] = t.id
		if p.TokenTenant != "" {
			claims[claimPrefix+"ctx"] = p.TokenTenant
		}
	}
	if s.switches.PushClaims == "" || s.switches.PushClaims == "all" {
		if p.TokenChange != "" {
			var err error
			if change, err = changeType(p.TokenChange); err != nil {
				return "", err
			}
		}
		claims["ChangeType"] = change
		if p.PublicEndpoint != "" {
			claims["PublicEndpoint"] = p.PublicEndpoint
		}
	}
	switch {
	case p.Signature == "none":
		return jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	case p.Signature == "wrong", s.switches.PushKey == "other":
		return s.signWrongly(claims), nil
	case p.Signature != "" && p.Signature != "good":
		return "", fmt.Errorf("push: signature %q is none of good, wrong, none", p.Signature)
	}
	return s.sign(claims), nil
}

// applyChange has the tenant be as a push says; s.mu is held. An upgrade and a restored backup show nowhere.
func (s *Sandbox) applyChange(t *tenant, change int, endpoint string) {
	switch {
	case change == 2:
		t.state = "Suspended"
	case change == 3:
		t.state = "Running"
	case change == 4:
		t.state = "Deleted"
	case change == 5 && endpoint != "":
		t.base = strings.TrimSuffix(endpoint, "/")
	}
}

// postLoopback posts JSON to this machine alone, whatever the name resolves to.
func postLoopback(ctx context.Context, target string, body []byte) (PushAnswer, error) {
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("push: %s is not on this machine", address)
		}
		return nil
	}}
	client := http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return PushAnswer{}, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := client.Do(req)
	if err != nil {
		return PushAnswer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return PushAnswer{Status: resp.StatusCode, Body: string(answer)}, err
}
