package idp

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// trustTransport reaches a provider whose certificate is vouched for by the authorities in a file, and by no others.
// The file is read for each request, of which there is one an hour: a cluster replaces it while processes run.
type trustTransport struct {
	file string

	mu        sync.Mutex
	raw       []byte
	transport *http.Transport
}

// newTrustTransport checks the file.
func newTrustTransport(file string) (*trustTransport, error) {
	t := &trustTransport{file: file}
	_, err := t.current()
	return t, err
}

// RoundTrip sends the request. A file that cannot be read any more fails it.
func (t *trustTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	transport, err := t.current()
	if err != nil {
		return nil, err
	}
	return transport.RoundTrip(r)
}

func (t *trustTransport) current() (*http.Transport, error) {
	raw, err := os.ReadFile(filepath.Clean(t.file))
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.transport != nil && bytes.Equal(raw, t.raw) {
		return t.transport, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bytes.TrimPrefix(raw, byteOrderMark)) {
		return nil, fmt.Errorf("trust %s: holds no certificate in PEM", t.file)
	}
	t.raw, t.transport = raw, &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true, // nothing has to be closed when the configuration is replaced
	}
	return t.transport, nil
}
