package erpsync

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
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// forwardedHeaders are the caller's headers that travel: those of the vendor's
// documentation, and the one that its client adds. Everything else stays here.
var forwardedHeaders = []string{
	"Accept", "Accept-Language", "Content-Type", "So-Language", "So-Culture", "So-Timezone", "So-Browser-Tz-Offset",
}

// returnedHeaders are SuperOffice's headers that the caller gets.
var returnedHeaders = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Length", "Retry-After", "So-Timezone"}

// wholeCall bounds a call with its answer.
const wholeCall = answerTimeout + 5*time.Minute

// forward sends the call and passes the answer on. A call is sent a second time
// only when nothing was sent the first time, or when a complete answer says that
// it did not run: 401, 421, or 403 to a credential that was stale.
func (c *call) forward() *auth.Refusal {
	if c.h.unreachable.Waits(c.api) {
		// A time-out for each caller would be a queue before a closed door.
		c.record.Decision, c.record.Outcome = "allowed", outcome.Outcome{Class: outcome.Unreachable, Cause: "a_moment_ago"}
		return auth.Refuse(auth.UpstreamUnreachable, errors.New("not reached a moment ago, and not tried again yet")).After(2 * time.Second)
	}
	ctx, cancel := detached(wholeCall)
	defer cancel()
	c.record.Decision = "allowed"
	c.record.Begin(c.h.audit)
	defer c.h.metrics.Sending(c.path.Operation)()

	resp, refusal := c.send(ctx)
	if refusal != nil && refusal.Reason == auth.UpstreamUnreachable {
		resp, refusal = c.send(ctx)
	}
	c.h.unreachable.Told(c.api, refusal == nil || refusal.Reason != auth.UpstreamUnreachable)
	if refusal != nil {
		return refusal
	}
	if retry, refusal := c.amend(ctx, resp); refusal != nil {
		c.record.Outcome = outcome.Outcome{Class: outcome.Fault, Cause: "credential_refused"}
		return refusal
	} else if retry {
		if resp, refusal = c.send(ctx); refusal != nil {
			return refusal
		}
	}
	defer resp.Body.Close()
	return c.answer(resp)
}

// send makes one attempt.
func (c *call) send(ctx context.Context) (*http.Response, *auth.Refusal) {
	connected := false
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	req := c.upstreamRequest(traced)
	c.record.Upstream = c.api[:len(req.URL.Scheme)+len("://")+len(req.URL.Host)]
	resp, err := c.h.roundTrip.RoundTrip(req)
	if connected {
		c.record.Sends++
	}
	if err == nil {
		return resp, nil
	}
	if !connected {
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

// upstreamRequest builds a request from what was understood. None of the
// caller's is in it but the body's bytes and the listed headers. It has no GetBody, so
// that no transport repeats it by itself.
func (c *call) upstreamRequest(ctx context.Context) *http.Request {
	header := make(http.Header, 8)
	for _, name := range forwardedHeaders {
		if values := c.r.Header[name]; len(values) > 0 {
			header[name] = values[:1:1]
		}
	}
	header["User-Agent"] = userAgent
	if c.h.Audit.ForwardTrace {
		propagation.TraceContext{}.Inject(c.r.Context(), propagation.HeaderCarrier(header))
	}
	c.owned.Write(header)
	req := new(http.Request).WithContext(ctx)
	req.Method, req.Proto, req.ProtoMajor, req.ProtoMinor = http.MethodPost, "HTTP/1.1", 1, 1
	req.URL = operationURL(c.api, c.path.Operation)
	req.URL.RawQuery = c.selected.Query()
	req.Host, req.Header, req.Body, req.ContentLength = req.URL.Host, header, http.NoBody, int64(len(c.body))
	if len(c.body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(c.body))
	}
	return req
}

var userAgent = []string{"caddy-erpsync"}

// operationURL is where an operation is called. api is the origin and the plain directory of a WebAPI: the
// environment or the configuration was held to that, so there is nothing to parse.
func operationURL(api string, op superoffice.Operation) *url.URL {
	scheme, rest, _ := strings.Cut(api, "://")
	host, directory, _ := strings.Cut(rest, "/")
	return &url.URL{Scheme: scheme, Host: host, Path: "/" + directory + "/v1/Agents/ErpSync/" + op.String()}
}

// amend looks whether the answer says that the call did not run for a reason
// that the gateway can mend. The answer is closed if it does.
func (c *call) amend(ctx context.Context, resp *http.Response) (retry bool, refusal *auth.Refusal) {
	stale := !c.owned.Expires.IsZero() && time.Now().After(c.owned.Expires)
	switch {
	case resp.StatusCode == http.StatusMisdirectedRequest && c.h.locator != nil:
		drop(resp)
		c.h.locator.Moved(c.principal.Tenant, c.api)
		return true, c.locate(c.principal.Tenant)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden && stale:
		drop(resp)
		// A secret has no overlap when it is replaced at SuperOffice: the file may be newer than what was sent.
		changed := !c.owned.AppToken.IsZero() && !c.app.secret.again().Equal(c.owned.AppToken.Reveal())
		next := c.owned.Credential
		switch {
		case c.owned.renew != nil:
			if next, refusal = c.owned.renew(ctx, changed); refusal != nil {
				return false, refusal
			}
		case !changed:
			return false, c.spent()
		}
		next.AppToken = c.owned.AppToken
		if c.h.locator != nil {
			next.AppToken = c.app.appToken()
		}
		if next.Same(c.owned.Credential) {
			return false, c.spent()
		}
		c.owned.Credential = next
		return true, nil
	}
	return false, nil
}

// drop reads a short answer to its end, so that the connection can be used again.
func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

func (c *call) spent() *auth.Refusal {
	refusal := auth.Refuse(c.owned.spent, errors.New("SuperOffice answered 401"))
	if refusal.Reason == auth.SignInAgain {
		refusal.SignIn = c.h.Browser.signInURL()
	}
	return refusal
}

// answer passes SuperOffice's answer on and reads along. A caller that leaves
// ends nothing: the answer is read to its end and recorded.
func (c *call) answer(resp *http.Response) *auth.Refusal {
	tap := outcome.NewTap(c.path.Operation, resp.StatusCode, resp.Header, c.selected.Hides())
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		c.record.Outcome = outcome.Outcome{Class: outcome.Fault, Cause: "credential_refused"}
		return c.spent()
	case resp.StatusCode < 200, resp.StatusCode/100 == 3, resp.StatusCode == http.StatusProxyAuthRequired,
		resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode == http.StatusMisdirectedRequest, resp.StatusCode == http.StatusTooEarly:
		// Redirects and challenges are not the caller's to follow, and browsers
		// repeat a POST after 408, 421 and 425.
		_, err := io.CopyN(tap, resp.Body, 64<<10)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		c.record.Outcome = tap.Outcome(err)
		return auth.Refuse(auth.UpstreamAnswerRefused, errors.New(resp.Status))
	}
	header := c.w.Header()
	for _, name := range returnedHeaders {
		if values := resp.Header[name]; len(values) > 0 {
			header[name] = values
		}
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(resp.StatusCode)
	passing := io.Writer(tap)
	if c.entry != nil {
		passing = io.MultiWriter(tap, (*keeping)(c))
		c.answerHeader = make(http.Header, len(returnedHeaders))
		for _, name := range returnedHeaders {
			if values := resp.Header[name]; len(values) > 0 {
				c.answerHeader[name] = values
			}
		}
	}
	written, err := pass(c.w, passing, resp.Body)
	c.record.Status, c.record.Bytes, c.record.Outcome, c.answered = resp.StatusCode, written, tap.Outcome(err), err == nil
	c.abort = err != nil
	return nil
}

// keeping keeps the answer to a call with an Idempotency-Key while it passes, and one byte more than is kept of one too long.
type keeping call

func (k *keeping) Write(p []byte) (int, error) {
	room := guard.MaxKept + 1 - len(k.answerBody)
	k.answerBody = append(k.answerBody, p[:min(len(p), room)]...)
	return len(p), nil
}

// passBuffer is how much of an answer is copied at a time.
const passBuffer = 16 << 10

// A third of what a call would allocate is this buffer.
var buffers = sync.Pool{New: func() any { return new([passBuffer]byte) }}

// pass copies the answer as it comes. Only trouble with reading it is an error.
func pass(w http.ResponseWriter, tap io.Writer, body io.Reader) (written int64, err error) {
	controller := http.NewResponseController(w)
	pooled := buffers.Get().(*[passBuffer]byte)
	defer buffers.Put(pooled)
	buffer := pooled[:]
	for gone := false; ; {
		n, err := body.Read(buffer)
		if n > 0 && !gone {
			m, werr := w.Write(buffer[:n])
			written += int64(m)
			gone = werr != nil || (err == nil && controller.Flush() != nil)
		}
		_, _ = tap.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}
