package superid

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// boundedTransport cuts answers off after maxAnswer bytes.
type boundedTransport struct{ next http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if resp != nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// formTransport adds values to a form: x/oauth2 has no parameters for a refresh.
type formTransport struct {
	next  http.RoundTripper
	added url.Values
}

func (t formTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	form = append(append(form, '&'), t.added.Encode()...)
	sent := r.Clone(r.Context())
	sent.Body, sent.ContentLength, sent.GetBody = io.NopCloser(bytes.NewReader(form)), int64(len(form)), nil
	return t.next.RoundTrip(sent)
}

func postForm(ctx context.Context, client *http.Client, target string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return client.Do(req)
}
