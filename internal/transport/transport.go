// Package transport reaches SuperOffice through Caddy's own HTTP transport, as a guest.
package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

const (
	dialTimeout = 3 * time.Second
	tlsTimeout  = 10 * time.Second

	// idleTimeout stays below IIS's two minutes: a POST on a connection that the
	// other side is just closing cannot be sent again.
	idleTimeout = 50 * time.Second
)

// New loads Caddy's HTTP transport as a guest, with this product's
// defaults where the operator set nothing. configured is the module's JSON with its key protocol, or nil.
func New(ctx caddy.Context, configured json.RawMessage) (http.RoundTripper, error) {
	// The defaults must be in the guest's configuration before it is
	// provisioned: it builds its pool then.
	var transport reverseproxy.HTTPTransport
	if configured != nil {
		raw, err := withoutKey(configured, "protocol")
		if err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
		if err := caddy.StrictUnmarshalJSON(raw, &transport); err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
	}
	defaultTransport(&transport)
	module, err := ctx.LoadModuleByID("http.reverse_proxy.transport.http", caddyconfig.JSON(transport, nil))
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if transport.ProxyProtocol != "" {
		return nil, errors.New("transport: proxy_protocol cannot work here: calls are the gateway's own, not the client's")
	}
	return module.(http.RoundTripper), nil
}

// withoutKey takes the key that names the module out of its configuration.
func withoutKey(raw json.RawMessage, key string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	if string(fields[key]) != `"http"` {
		return nil, errors.New("want http")
	}
	delete(fields, key)
	return json.Marshal(fields)
}

// defaultTransport fills in what the operator left open. How long SuperOffice may take to answer is bounded by the context of each
// request, and not here: a timer more for each call would say the same.
func defaultTransport(t *reverseproxy.HTTPTransport) {
	if len(t.Versions) == 0 {
		t.Versions = []string{"1.1"}
	}
	if t.Compression == nil {
		off := false
		t.Compression = &off
	}
	if t.KeepAlive == nil {
		t.KeepAlive = &reverseproxy.KeepAlive{}
	}
	if t.KeepAlive.IdleConnTimeout == 0 {
		t.KeepAlive.IdleConnTimeout = caddy.Duration(idleTimeout)
	}
	if t.DialTimeout == 0 {
		t.DialTimeout = caddy.Duration(dialTimeout)
	}
	if t.TLS == nil {
		t.TLS = new(reverseproxy.TLSConfig)
	}
	if t.TLS.HandshakeTimeout == 0 {
		t.TLS.HandshakeTimeout = caddy.Duration(tlsTimeout)
	}
}

// Context returns a context for a request of the gateway's own: it holds what Caddy's
// transport looks for, and nothing of a caller's request.
func Context() context.Context {
	return &outgoingContext{Context: context.Background(), vars: make(map[string]any)}
}

type outgoingContext struct {
	context.Context
	vars map[string]any // the transport notes an outbound proxy there
}

// noPlaceholders replaces nothing, and nobody sets anything in it.
var noPlaceholders = caddy.NewEmptyReplacer()

func (o *outgoingContext) Value(key any) any {
	switch key {
	case caddy.ReplacerCtxKey:
		return noPlaceholders
	case caddyhttp.VarsCtxKey:
		return o.vars
	}
	return o.Context.Value(key)
}
