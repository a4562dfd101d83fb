package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// fixedSecret is a SecretSource that does not change.
type fixedSecret string

func (s fixedSecret) Get() auth.Secret    { return auth.NewSecret(string(s)) }
func (s fixedSecret) Reload() auth.Secret { return s.Get() }

// newSecret returns a secret of a webhook.
func newSecret(b byte) fixedSecret {
	return fixedSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(b)), 32))))
}

// inbox is a receiver over TLS that verifies with the library of the specification, and answers what it is told.
type inbox struct {
	*httptest.Server
	knows  fixedSecret
	answer func(w http.ResponseWriter)
	err    error // of the last verification
	body   []byte
	header http.Header
	calls  int
}

func newInbox(t *testing.T, knows fixedSecret) *inbox {
	t.Helper()
	in := &inbox{knows: knows, answer: func(http.ResponseWriter) {}}
	in.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.calls++
		in.header = r.Header
		in.body, _ = io.ReadAll(r.Body)
		hook, err := standardwebhooks.NewWebhook(string(in.knows))
		if err == nil {
			err = hook.Verify(in.body, r.Header)
		}
		in.err = err
		in.answer(w)
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) config(secrets ...auth.SecretSource) *WebhookConfig {
	return &WebhookConfig{URL: in.URL, Secrets: secrets, Transport: in.Client().Transport}
}

func TestAReceiverVerifiesAMessageWithEitherSecret(t *testing.T) {
	t.Parallel()
	older, newer := newSecret('a'), newSecret('b')
	n := sample(Failing, testSettings())
	body, err := encodeEvent("/erpsync/test", "msg_1", time.Now(), &n)
	if err != nil {
		t.Fatal(err)
	}
	for _, knows := range []fixedSecret{older, newer} {
		in := newInbox(t, knows)
		v := (&receiver{in.config(newer, older), time.Now}).post(t.Context(), "msg_1", body)
		if !v.Received || v.Status != http.StatusOK || in.err != nil {
			t.Errorf("%+v, %v", v, in.err)
		}
		if in.header.Get("Content-Type") != event.ApplicationCloudEventsJSON || in.header.Get("webhook-id") != "msg_1" || strings.Count(in.header.Get("webhook-signature"), "v1,") != 2 || string(in.body) != string(body) {
			t.Errorf("%v", in.header)
		}
	}
	in := newInbox(t, newSecret('c'))
	if (&receiver{in.config(newer, older), time.Now}).post(t.Context(), "msg_1", body); !errors.Is(in.err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("a receiver with another secret: %v", in.err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	secret := newSecret('a')
	other := newInbox(t, secret)
	in := newInbox(t, secret)
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		in.answer = func(w http.ResponseWriter) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		}
		if v := (&receiver{in.config(secret), time.Now}).post(t.Context(), "msg_1", []byte("{}")); v.Received || v.Status != status || !strings.Contains(v.Cause, "redirects are not followed") {
			t.Errorf("%+v", v)
		}
	}
	if other.calls > 0 {
		t.Error("a message went where an answer pointed")
	}
}

func TestAnAnswerSaysWhetherAndWhenToTryAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for name, test := range map[string]struct {
		status int
		after  string
		want   verdict
	}{
		"taken":            {204, "", verdict{Status: 204, Received: true}},
		"gone":             {410, "", verdict{Status: 410, Gone: true}},
		"busy":             {429, "120", verdict{Status: 429, RetryAfter: 2 * time.Minute}},
		"down until":       {503, now.Add(time.Hour).UTC().Format(http.TimeFormat), verdict{Status: 503, RetryAfter: time.Hour}},
		"for a year":       {503, "31536000", verdict{Status: 503, RetryAfter: 24 * time.Hour}},
		"until yesterday":  {503, now.Add(-24 * time.Hour).UTC().Format(http.TimeFormat), verdict{Status: 503}},
		"not a number":     {500, "-5", verdict{Status: 500}},
		"other signature":  {401, "", verdict{Status: 401}},
		"no such path":     {404, "", verdict{Status: 404}},
		"a strange answer": {999, "", verdict{Status: 999}},
	} {
		got := judge(&http.Response{StatusCode: test.status, Header: http.Header{"Retry-After": {test.after}}}, now)
		if test.want.Received == (got.Cause != "") {
			t.Errorf("%s: cause %q", name, got.Cause)
		}
		if got.Cause = ""; got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// FuzzRetryAfter: whatever a receiver says, the next attempt is within a day.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "5", "-1", "99999999999999999999", "Fri, 27 Nov 2026 08:00:00 GMT", " 7 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if d := retryAfter(raw, epoch); d < 0 || d > giveUpAfter {
			t.Errorf("%q: %s", raw, d)
		}
	})
}

func TestACauseIsToldInWordsAndShowsNoAddress(t *testing.T) {
	t.Parallel()
	const token = "hook-0123456789"
	secret := newSecret('a')
	strangers := newInbox(t, secret)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	_ = closed.Close()
	pool := x509.NewCertPool()
	pool.AddCert(strangers.Certificate())
	dial := &net.Dialer{Timeout: 5 * time.Second}
	for name, test := range map[string]struct {
		url, says string
		transport *http.Transport
	}{
		"no such name":    {"https://receiver.invalid/", "DNS:", &http.Transport{DialContext: noSuchName}},
		"not trusted":     {strangers.URL + "/", "TLS: the receiver's certificate is signed by nobody", &http.Transport{DialContext: dial.DialContext}},
		"another name":    {"https://other.example/", "TLS: the receiver's certificate is for another name", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DialContext: to(strangers.Listener.Addr().String())}},
		"no TLS":          {"https://" + plain.Listener.Addr().String() + "/", "HTTP response to HTTPS client", &http.Transport{}},
		"nobody listens":  {"https://" + address + "/", "nothing listens there", &http.Transport{}},
		"it takes longer": {"https://127.0.0.1:1/", "time-out", &http.Transport{DialContext: takesLonger}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := (&receiver{&WebhookConfig{URL: test.url + token, Secrets: []auth.SecretSource{secret}, Transport: test.transport}, time.Now}).post(t.Context(), "msg_1", []byte("{}"))
			if v.Received || v.Status != 0 || !strings.Contains(v.Cause, test.says) || strings.Contains(v.Cause, token) {
				t.Errorf("%q, want %q", v.Cause, test.says)
			}
		})
	}
}

func noSuchName(context.Context, string, string) (net.Conn, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "receiver.invalid", IsNotFound: true}
}

func takesLonger(context.Context, string, string) (net.Conn, error) {
	return nil, context.DeadlineExceeded
}

// to dials an address whatever was asked for.
func to(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	secret := newSecret('a')
	in := newInbox(t, secret)
	written := make(chan int, 1)
	in.answer = func(w http.ResponseWriter) {
		n := 0
		for n < 256<<20 {
			more, err := w.Write(make([]byte, 32<<10))
			if n += more; err != nil {
				break
			}
		}
		written <- n
	}
	if v := (&receiver{in.config(secret), time.Now}).post(t.Context(), "msg_1", []byte("{}")); !v.Received {
		t.Errorf("%+v", v)
	}
	if n := <-written; n >= 256<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestAnAddressIsHTTPSUnlessItIsThisMachine(t *testing.T) {
	t.Parallel()
	for raw, taken := range map[string]bool{
		"https://hooks.example/erpsync": true, "https://hooks.example:8443/a?b=c": true, "http://127.0.0.1:9/x": true, "http://[::1]:9/": true, "http://localhost:9/": true,
		"http://hooks.example/": false, "http://127.0.0.1.example/": false, "https://user:password@hooks.example/": false, "https:///x": false, "https://hooks.example/#x": false,
		"ftp://hooks.example/": false, "hooks.example": false, "": false, "https:hooks.example": false, "https://%zz/": false,
	} {
		_, err := ParseAddress(raw)
		if (err == nil) != taken {
			t.Errorf("%q: %v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("the error shows the address: %v", err)
		}
	}
}

func TestASecretHasTheFormOfTheSpecification(t *testing.T) {
	t.Parallel()
	bytes := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, taken := range map[string]bool{
		"whsec_" + bytes(24): true, "whsec_" + bytes(64): true, " whsec_" + bytes(32) + "\n": true,
		"whsec_" + bytes(23): false, "whsec_" + bytes(65): false, bytes(32): false, "whsec_not base64": false, "": false,
	} {
		secret, err := ParseSecret(text)
		if (err == nil) != taken || taken && secret.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
