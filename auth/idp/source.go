package idp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
)

// maxDocument bounds what a provider answers, in bytes.
const maxDocument = 1 << 20

// source is where a JWK set comes from. Only one load runs at a time.
type source interface {
	load(ctx context.Context) ([]byte, error)
	// String names it for errors.
	String() string
}

// published is a JWK set at a URL.
type published struct {
	client *http.Client
	url    string
}

func (p published) String() string { return "jwks " + p.url }

func (p published) load(ctx context.Context) ([]byte, error) { return get(ctx, p.client, p.url) }

// get returns a document. Redirects are the client's matter; one that it does not follow is an error.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, reason(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, reason(ctx, err)
	case len(raw) > maxDocument:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxDocument)
	}
	return raw, nil
}

// reason returns why a request failed, without the URL that stands before it already.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no answer in %s", fetchTimeout)
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}

// file is a JWK set in a file, which may be a symbolic link.
type file struct{ path string }

func (f file) String() string { return "jwks file " + f.path }

func (f file) load(context.Context) ([]byte, error) {
	raw, err := f.read()
	if err == nil && len(raw) > maxDocument {
		err = fmt.Errorf("larger than %d bytes", maxDocument)
	}
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	return raw, err
}

func (f file) read() ([]byte, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would not end
		return nil, errors.New("not a regular file")
	}
	opened, err := os.Open(filepath.Clean(f.path))
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return io.ReadAll(io.LimitReader(opened, maxDocument+1))
}

// discoveryAge is how long it is believed where a provider publishes its keys.
const discoveryAge = 24 * time.Hour

// discovered is a JWK set whose URL the issuer tells (OpenID Connect Discovery 1.0).
type discovered struct {
	client *http.Client
	issuer string
	now    func() time.Time

	url string // as the issuer told it at told; "" if it did not
	at  time.Time
}

func (d *discovered) String() string {
	if d.url == "" {
		return "OpenID discovery"
	}
	return "jwks " + d.url
}

func (d *discovered) load(ctx context.Context) ([]byte, error) {
	if d.url == "" || d.now().Sub(d.at) > discoveryAge {
		address, err := d.discover(ctx)
		if err != nil {
			return nil, err
		}
		d.url, d.at = address, d.now()
	}
	raw, err := get(ctx, d.client, d.url)
	if err != nil {
		err = fmt.Errorf("%s: %w", d.url, err)
		d.url = "" // it may have moved
	}
	return raw, err
}

func (d *discovered) discover(ctx context.Context) (string, error) {
	at := strings.TrimSuffix(d.issuer, "/") + "/.well-known/openid-configuration"
	raw, err := get(ctx, d.client, at)
	if err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	var document struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := jws.Unmarshal(raw, &document); err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	if document.Issuer != d.issuer {
		return "", fmt.Errorf("%s is of the issuer %s, want exactly %q", at, jws.Excerpt(document.Issuer), d.issuer)
	}
	address, err := parseURL(document.JWKS)
	if err != nil {
		return "", fmt.Errorf("%s: its jwks_uri %s is not taken: want https", at, jws.Excerpt(document.JWKS))
	}
	if address.Scheme == "http" && !strings.HasPrefix(d.issuer, "http:") {
		return "", fmt.Errorf("%s: its jwks_uri is plain http, want https as the issuer's", at)
	}
	return document.JWKS, nil
}
