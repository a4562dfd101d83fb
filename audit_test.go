package erpsync

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestTheSpanTellsTheOutcomeAndTheTraceGoesUpstreamOnlyIfAsked(t *testing.T) {
	t.Parallel()
	for audit, forwarded := range map[string]bool{"": false, "audit {\nforward_trace\n}": true} {
		g := newGateway(t, apps+"\n"+audit)
		spans := tracetest.NewSpanRecorder()
		ctx, span := trace.NewTracerProvider(trace.WithSpanProcessor(spans)).Tracer("test").Start(context.Background(), "request")
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, g.site+tenantPath, strings.NewReader(seedBody))
		r.URL.Scheme, r.URL.Host, r.RequestURI = "", "", tenantPath
		r.Header = g.service()
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01") // a caller's never goes on
		w := httptest.NewRecorder()
		if err := g.h.ServeHTTP(w, r, nil); err != nil {
			t.Fatal(err)
		}
		span.End()
		body, _ := io.ReadAll(w.Result().Body)
		sent := g.sent()
		if len(sent) != 1 {
			t.Fatalf("%d sent: %s", len(sent), body)
		}
		got, id := sent[0].Header.Get("Traceparent"), span.SpanContext().TraceID().String()
		if forwarded && !strings.Contains(got, id) || !forwarded && got != "" {
			t.Errorf("%q: traceparent %q upstream", audit, got)
		}
		attributes := make(map[string]string)
		for _, a := range spans.Ended()[0].Attributes() {
			attributes[string(a.Key)] = a.Value.String()
		}
		if attributes["erpsync.outcome"] != "ok" || attributes["erpsync.tenant"] != "Cust12345" || attributes["erpsync.connection_id"] != "612" {
			t.Errorf("attributes: %v", attributes)
		}
		if line := g.outcome(); line["trace_id"] != id {
			t.Errorf("trace id in the audit line: %v", line["trace_id"])
		}
	}
}
