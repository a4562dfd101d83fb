package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestTheSpanTellsTheOutcomeAndTheTraceGoesUpstreamOnlyIfAsked(t *testing.T) {
	t.Parallel()
	for _, forwarded := range []bool{false, true} {
		g := gatewaytest.New(t, gatewaytest.Configure(func(config *gateway.Config) { config.ForwardTrace = forwarded }))
		spans := tracetest.NewSpanRecorder()
		ctx, span := trace.NewTracerProvider(trace.WithSpanProcessor(spans)).Tracer("test").Start(context.Background(), "request")
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, g.Site+gatewaytest.TenantPath, strings.NewReader(gatewaytest.SeedBody))
		r.URL.Scheme, r.URL.Host, r.RequestURI = "", "", gatewaytest.TenantPath
		r.Header = g.Service()
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01") // a caller's never goes on
		w := httptest.NewRecorder()
		path, verdict := g.Match(r)
		g.ServeCall(w, r, path, verdict, &gatewaytest.Visit{RequestID: "one"})
		span.End()
		body, _ := io.ReadAll(w.Result().Body)
		sent := g.Sent()
		if len(sent) != 1 {
			t.Fatalf("%d sent: %s", len(sent), body)
		}
		got, id := sent[0].Header.Get("Traceparent"), span.SpanContext().TraceID().String()
		if forwarded && !strings.Contains(got, id) || !forwarded && got != "" {
			t.Errorf("%v: traceparent %q upstream", forwarded, got)
		}
		attributes := make(map[string]string)
		for _, a := range spans.Ended()[0].Attributes() {
			attributes[string(a.Key)] = a.Value.String()
		}
		if attributes["erpsync.outcome"] != "ok" || attributes["erpsync.tenant"] != "Cust12345" || attributes["erpsync.connection_id"] != "612" {
			t.Errorf("attributes: %v", attributes)
		}
		if line := g.Audited(); line["trace_id"] != id {
			t.Errorf("trace id in the audit line: %v", line["trace_id"])
		}
	}
}
