package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxCallTime bounds a call with its answer: a resync is long, and it is read to its end.
const maxCallTime = 20 * time.Minute

// unreachableRetry is when a caller is told to come back to a host that was not reached.
const unreachableRetry = 2 * time.Second

// Run makes the call and passes the answer on to sink. It is sent a second time only when nothing was sent the
// first time, or when a complete answer says that it did not run: 401, 421, or 403 to a credential that was
// stale. ctx bounds the wait for a credential; once the call is being sent, a caller that leaves ends nothing.
func (d *Decision) Run(ctx context.Context, sink Sink) *auth.Refusal {
	d.record.Granted = true
	c := &upstreamCall{Decision: d, g: d.gateway, api: d.API}
	if refusal := c.prepare(ctx); refusal != nil {
		return d.gateway.offerApproval(refusal, d.app, d.Principal.Tenant)
	}
	return c.run(ctx, sink)
}

// upstreamCall is a call on its way to SuperOffice.
type upstreamCall struct {
	*Decision
	g        *Gateway
	source   credential
	api      string // the tenant's WebAPI
	with     auth.Credential
	appToken auth.Secret // what was sent as SO-AppToken
	document []byte      // the body: the judged arguments alone, written anew
	trace    httptrace.ClientTrace
	// connected reports whether the attempt got a connection: what was sent then may have arrived.
	connected bool
}

func (c *upstreamCall) gotConn(httptrace.GotConnInfo) { c.connected = true }

// requestBody is a document that is being sent.
type requestBody struct{ bytes.Reader }

// Close does nothing.
func (*requestBody) Close() error { return nil }

// prepare finds as whom to call on, and where the tenant lives.
func (c *upstreamCall) prepare(ctx context.Context) (refusal *auth.Refusal) {
	if c.source, refusal = c.credential(ctx); refusal != nil {
		return refusal
	}
	if c.with, refusal = c.source.get(ctx); refusal != nil {
		return refusal
	}
	c.record.Credential = string(c.with.Owner) + " " + string(c.with.Kind)
	if c.api == "" {
		c.api, refusal = c.g.hosts.find(ctx, c.Principal.Tenant)
	}
	return refusal
}

func (c *upstreamCall) run(caller context.Context, sink Sink) *auth.Refusal {
	if c.g.unreachable.Blocked(c.api) {
		// A time-out for each caller would be a queue before a closed door.
		c.record.Decision, c.record.Outcome = "allowed", outcome.Outcome{Class: outcome.Unreachable, Cause: "a_moment_ago"}
		return auth.Refuse(auth.UpstreamUnreachable, errors.New("not reached a moment ago, and not tried again yet")).After(unreachableRetry)
	}
	ctx := c.g.callContext()
	if refusal := c.onHold(ctx); refusal != nil { // it may have waited for its credential
		return refusal
	}
	c.record.Decision = "allowed"
	c.g.began(c.record)
	if refusal := c.g.unaudited(c.record); refusal != nil {
		return refusal
	}
	if c.started != nil {
		c.started()
	}
	c.document = superoffice.Document(c.order.Operation, c.order.Arguments)

	resp, refusal := c.send(ctx, caller)
	if refusal != nil && refusal.Reason == auth.UpstreamUnreachable && c.onHold(ctx) == nil {
		resp, refusal = c.send(ctx, caller)
	}
	c.g.unreachable.Record(c.api, refusal == nil || refusal.Reason != auth.UpstreamUnreachable)
	if refusal != nil {
		return refusal
	}
	if again, refusal := c.amend(ctx, resp); refusal != nil {
		c.record.Outcome = outcome.Outcome{Class: outcome.Fault, Cause: "credential_refused"}
		return refusal
	} else if again {
		if refusal := c.onHold(ctx); refusal != nil {
			c.record.Outcome = outcome.Outcome{Class: outcome.Fault, Cause: "on_hold"}
			return refusal
		}
		if resp, refusal = c.send(ctx, caller); refusal != nil {
			return refusal
		}
	}
	defer resp.Body.Close()
	return c.pass(resp, sink)
}

// send makes one attempt. caller is asked for the trace context alone.
func (c *upstreamCall) send(ctx, caller context.Context) (*http.Response, *auth.Refusal) {
	c.connected = false
	c.trace.GotConn = c.gotConn
	req := c.request(httptrace.WithClientTrace(ctx, &c.trace), caller)
	c.record.Upstream = c.api[:len(req.URL.Scheme)+len("://")+len(req.URL.Host)]
	resp, err := c.g.platform.Transport.RoundTrip(req)
	if c.connected {
		c.record.Sends++
	}
	if err == nil {
		return resp, nil
	}
	if !c.connected {
		c.record.Outcome = outcome.Outcome{Class: outcome.Unreachable}
		refusal := auth.Refuse(auth.UpstreamUnreachable, err)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			refusal.Status = http.StatusGatewayTimeout
		}
		return nil, refusal
	}
	c.record.Outcome = outcome.Outcome{Class: outcome.Unknown, Cause: "no_answer"}
	return nil, auth.Refuse(auth.OutcomeUnknown, err)
}

var (
	documentType = []string{superoffice.DocumentType}
	userAgent    = []string{"caddy-erpsync"}
)

// request builds a request from what was understood. It has no GetBody, so that
// no transport repeats it by itself.
func (c *upstreamCall) request(ctx, caller context.Context) *http.Request {
	header := make(http.Header, 8)
	c.order.Header.write(header)
	if header.Get("Accept") == "" {
		header["Accept"] = []string{c.order.AnswerType}
	}
	header["Content-Type"], header["User-Agent"] = documentType, userAgent
	if c.g.config.ForwardTrace {
		propagation.TraceContext{}.Inject(caller, propagation.HeaderCarrier(header))
	}
	c.appToken = c.app.AppToken()
	c.with.Write(header, c.appToken)
	req := new(http.Request).WithContext(ctx)
	req.Method, req.Proto, req.ProtoMajor, req.ProtoMinor = http.MethodPost, "HTTP/1.1", 1, 1
	req.URL = operationURL(c.api, c.order.Operation)
	req.URL.RawQuery = c.order.Select.Query()
	req.Host, req.Header, req.Body, req.ContentLength = req.URL.Host, header, http.NoBody, int64(len(c.document))
	if len(c.document) > 0 {
		body := new(requestBody) // of its own for each attempt: the transport may still be reading the one before
		body.Reset(c.document)
		req.Body = body
	}
	return req
}

// operationURL returns where an operation is called. api is the origin and the plain directory of a WebAPI: the
// environment or the configuration was held to that, so there is nothing to parse.
func operationURL(api string, op superoffice.Operation) *url.URL {
	scheme, rest, _ := strings.Cut(api, "://")
	host, directory, _ := strings.Cut(rest, "/")
	return &url.URL{Scheme: scheme, Host: host, Path: "/" + directory + "/v1/Agents/ErpSync/" + op.String()}
}

// amend reports whether the answer says that the call did not run for a reason that the
// gateway has mended, so that it is to be sent again. The answer is closed if it does.
func (c *upstreamCall) amend(ctx context.Context, resp *http.Response) (again bool, refusal *auth.Refusal) {
	switch {
	case resp.StatusCode == http.StatusMisdirectedRequest && c.g.hosts.follows():
		discard(resp)
		c.api, refusal = c.g.hosts.moved(ctx, c.Principal.Tenant, c.api)
		return refusal == nil, refusal
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden && c.stale():
		discard(resp)
		// A secret has no overlap when it is replaced at SuperOffice: the file may be newer than what was sent.
		secretReplaced := !c.appToken.IsZero() && !c.app.secret.Reload().Equal(c.appToken.Reveal())
		next, refusal := c.source.replace(ctx, c.with, secretReplaced)
		if refusal != nil {
			return false, refusal
		}
		if next.Same(c.with) && !secretReplaced {
			return false, c.exhausted()
		}
		c.with = next
		return true, nil
	}
	return false, nil
}

// stale reports whether the credential that was sent has ended since.
func (c *upstreamCall) stale() bool {
	return !c.with.Expires.IsZero() && time.Now().After(c.with.Expires)
}

// discard reads a short answer to its end, so that the connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// exhausted refuses a caller for whom there is no other credential to try.
func (c *upstreamCall) exhausted() *auth.Refusal {
	refusal := auth.Refuse(c.source.exhausted(), errors.New("SuperOffice answered 401"))
	if refusal.Reason == auth.SignInAgain {
		refusal.SignIn = c.g.config.Links.SignIn
	}
	return refusal
}
