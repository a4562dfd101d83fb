package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

const (
	// sendTimeout bounds one attempt, from the look-up of the name to the end of the answer.
	sendTimeout = 15 * time.Second
	// maxAnswer is how much of an answer is read, to keep the connection. Nothing of it is looked at.
	maxAnswer = 64 << 10
	// giveUpAfter is for how long a message is sent again.
	giveUpAfter = 24 * time.Hour
	// leastSecret and mostSecret bound a secret, in bytes, as the specification of Standard Webhooks does.
	leastSecret = 24
	mostSecret  = 64
)

// pauses are those between the attempts at a message; the last one repeats.
var pauses = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}

// pause returns how long after the attempt of that number, from 1, the next one is: up to a fifth more than it is at least.
func pause(tried int) time.Duration {
	p := pauses[min(max(tried, 1), len(pauses))-1]
	return p + rand.N(p/5) //nolint:gosec // it spreads the load
}

// ParseSecret judges the form of a webhook's secret: whsec_ and 24 to 64 bytes in base64.
func ParseSecret(text string) (auth.Secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
	switch {
	case err != nil || !strings.HasPrefix(strings.TrimSpace(text), "whsec_"):
		return auth.Secret{}, errors.New("is not whsec_ and the secret in base64, as the Standard Webhooks specification wants it: echo whsec_$(openssl rand -base64 32)")
	case len(key) < leastSecret || len(key) > mostSecret:
		return auth.Secret{}, fmt.Errorf("has %d bytes: want %d to %d", len(key), leastSecret, mostSecret)
	}
	return auth.NewSecret(strings.TrimSpace(text)), nil
}

// ParseAddress judges where messages are posted: https, or http on loopback, without a user in it.
func ParseAddress(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // its text quotes the address, which may hold a secret
		return nil, errors.New("is no URL")
	case u.User != nil:
		return nil, errors.New("holds a user or password: messages are signed, leave them out")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "":
		return nil, errors.New("want the full URL of the receiver, such as https://example.com/hooks/erpsync")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("want https; plain http is taken on loopback only")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// receiver posts messages to one address.
type receiver struct {
	*WebhookConfig
	now func() time.Time
}

// name identifies the address without showing it.
func (r *receiver) name() string {
	sum := sha256.Sum256([]byte(r.URL))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// host is what may be logged of the address.
func (r *receiver) host() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// verdict is what came of an attempt.
type verdict struct {
	// Status is the answer's; 0: there was none.
	Status int
	// Received reports that the receiver has it, Gone that it wants no more.
	Received, Gone bool
	// Cause says in words why it was not received.
	Cause string
	// RetryAfter is how long the receiver wants to be left alone.
	RetryAfter time.Duration
	Took       time.Duration
}

// post sends a message once.
func (r *receiver) post(ctx context.Context, id string, body []byte) (v verdict) {
	began := r.now()
	defer func() { v.Took = r.now().Sub(began) }()
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return verdict{Cause: "the address is no URL"}
	}
	req.GetBody = nil // one attempt is one request
	signatures, err := r.sign(id, began, body)
	if err != nil {
		return verdict{Cause: err.Error()}
	}
	req.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)
	req.Header.Set("User-Agent", "caddy-erpsync")
	// The header's names as the specification spells them; HTTP does not mind.
	req.Header[standardwebhooks.HeaderWebhookID] = []string{id}
	req.Header[standardwebhooks.HeaderWebhookTimestamp] = []string{strconv.FormatInt(began.Unix(), 10)}
	req.Header[standardwebhooks.HeaderWebhookSignature] = []string{signatures}
	client := &http.Client{Transport: r.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return verdict{Cause: explain(err)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // an answer that breaks off has its status all the same
	return judge(resp, r.now())
}

// judge reads an answer's status and Retry-After.
func judge(resp *http.Response, now time.Time) verdict {
	v := verdict{Status: resp.StatusCode}
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		v.Received = true
		return v
	case resp.StatusCode == http.StatusGone:
		v.Gone = true
	}
	v.Cause, v.RetryAfter = explainStatus(resp.StatusCode), retryAfter(resp.Header.Get("Retry-After"), now)
	return v
}

// sign returns a signature under each secret.
func (r *receiver) sign(id string, at time.Time, body []byte) (string, error) {
	all := make([]string, 0, len(r.Secrets))
	for _, source := range r.Secrets {
		hook, err := standardwebhooks.NewWebhook(source.Get().Reveal())
		if err != nil {
			return "", errors.New("the secret is not base64")
		}
		signature, err := hook.Sign(id, at, body)
		if err != nil {
			return "", errors.New("the message could not be signed")
		}
		all = append(all, signature)
	}
	return strings.Join(all, " "), nil
}

// retryAfter reads a Retry-After: seconds, or a date. It is bounded to a day; zero: there is none that can be read.
func retryAfter(raw string, now time.Time) time.Duration {
	raw = strings.TrimSpace(raw)
	if seconds, err := strconv.ParseUint(raw, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, giveUpAfter) //nolint:gosec // 32 bits of seconds fit
	}
	if at, err := http.ParseTime(raw); err == nil {
		return min(max(at.Sub(now), 0), giveUpAfter)
	}
	return 0
}
