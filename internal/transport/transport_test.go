package transport

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func load(t *testing.T, configured string) (*reverseproxy.HTTPTransport, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	var raw json.RawMessage
	if configured != "" {
		raw = json.RawMessage(configured)
	}
	loaded, err := New(ctx, raw)
	if err != nil {
		return nil, err
	}
	return loaded.(*reverseproxy.HTTPTransport), nil
}

func TestTheDefaultsStandAndTheOperatorsOptionsGoBeforeThem(t *testing.T) {
	t.Parallel()
	set, err := load(t, `{"protocol":"http","dial_timeout":"1s","keep_alive":{"idle_timeout":"20s"},"compression":true,"versions":["2"],"response_header_timeout":"2s","tls":{"handshake_timeout":"3s"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Transport; got.IdleConnTimeout != 20*time.Second || got.DisableCompression || got.ResponseHeaderTimeout != 2*time.Second || got.TLSHandshakeTimeout != 3*time.Second {
		t.Errorf("what the operator set does not stand: %+v", got)
	}
	if time.Duration(set.DialTimeout) != time.Second || !slices.Equal(set.Versions, []string{"2"}) {
		t.Errorf("what the operator set does not stand: %s %v", time.Duration(set.DialTimeout), set.Versions)
	}
	left, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := left.Transport; got.IdleConnTimeout != idleTimeout || !got.DisableCompression || got.ResponseHeaderTimeout != 0 || got.TLSHandshakeTimeout != tlsTimeout {
		t.Errorf("the defaults do not stand: %+v", got)
	}
	if time.Duration(left.DialTimeout) != dialTimeout || !slices.Equal(left.Versions, []string{"1.1"}) {
		t.Errorf("the defaults do not stand: %s %v", time.Duration(left.DialTimeout), left.Versions)
	}
}

func TestAnotherTransportAndAnUnknownOptionAreRefused(t *testing.T) {
	t.Parallel()
	for configured, want := range map[string]string{
		`{"protocol":"fastcgi"}`:                       "want http",
		`{"protocol":"http","dial_timeot":"1s"}`:       "dial_timeot",
		`{"protocol":"http","proxy_protocol":"v2"}`:    "proxy_protocol cannot work here",
		`{"protocol":"http","dial_timeout":{"a":"b"}}`: "transport: ",
	} {
		if _, err := load(t, configured); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", configured, err, want)
		}
	}
}

// What a caller's request holds must not reach a request of the gateway's own through its context.
func TestAContextHoldsWhatCaddysTransportLooksForAndNoMore(t *testing.T) {
	t.Parallel()
	first, second := Context(), Context()
	if _, ok := first.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); !ok {
		t.Error("there is no replacer")
	}
	const key caddy.CtxKey = "vars"
	vars, ok := first.Value(key).(map[string]any)
	if !ok {
		t.Fatal("there are no variables")
	}
	vars["proxy"] = "one"
	if others := second.Value(key).(map[string]any); len(others) != 0 {
		t.Errorf("one request's variables are another's: %v", others)
	}
	if first.Done() != nil {
		t.Error("it can end")
	}
}
