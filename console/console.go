// Package console renders what support people look at in a browser: whether a customer's calls went through and, if not, why. It
// reads only, and knows no Caddy.
package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Config is what a console is built from.
type Config struct {
	Source Source
	// Node names this process.
	Node string
	// User returns who sends a request, "" for nobody. Nil: nobody is asked for, and only this machine is answered.
	User func(*http.Request) string
	// ClientIP returns the address of who sends a request, for the audit line. Nil: that of the connection.
	ClientIP func(*http.Request) string
	// Operators are those who may open it, where User is set.
	Operators []Operator
	// AuditViews writes who saw which calls. Look-ups in SuperOffice are always written.
	AuditViews bool
	// Record writes an audit line, and returns why it could not be written.
	Record func(*outcome.View) error
	Logger *zap.Logger
}

// Console answers a site's requests. It is built once.
type Console struct {
	config Config
	known  known
	live   *hub
}

// New returns a console. Close ends it.
func New(config Config) *Console {
	c := &Console{config: config, known: known{source: config.Source}}
	c.live = newHub(c)
	return c
}

// Close ends the streams of pages that are open, and takes no further ones. Pages go on to be answered.
func (c *Console) Close() { c.live.close() }

// pageTimeout bounds what a page may wait for.
const pageTimeout = 25 * time.Second

// maxQuery bounds a query, in bytes.
const maxQuery = 4 << 10

// request is one request of somebody who may look.
type request struct {
	*http.Request
	*scope
	base string
	view outcome.View
}

// link returns the address of a path of the console's own.
func (r *request) link(format string, args ...any) string {
	return r.base + fmt.Sprintf(format, args...)
}

// baseKey is the context's key of the path that the console's paths stand below.
type baseKey struct{}

// WithBase has links begin with a path that was taken off the request's: "" mostly.
func WithBase(r *http.Request, base string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), baseKey{}, base))
}

func baseOf(r *http.Request) string {
	base, _ := r.Context().Value(baseKey{}).(string)
	return base
}

// ServeHTTP answers every request: what is no page of the console's is not found.
func (c *Console) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	harden(w.Header())
	base := baseOf(hr)
	if hr.Method != http.MethodGet && hr.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		c.writeDenial(w, hr, base, &denial{http.StatusMethodNotAllowed, "This console only shows", "It takes GET and HEAD, and changes nothing."})
		return
	}
	// The style sheet of a refusal's own page says nothing of anybody.
	if serveAsset(w, hr) {
		return
	}
	v, refused := c.admit(hr)
	if refused == nil && len(hr.URL.RawQuery) > maxQuery {
		refused = &denial{http.StatusRequestURITooLong, "The address is too long", "Begin again from the overview."}
	}
	if refused != nil {
		c.writeDenial(w, hr, base, refused)
		return
	}
	if c.config.ClientIP != nil {
		v.address = c.config.ClientIP(hr)
	}
	r := &request{Request: hr, scope: c.scope(v), base: base, view: outcome.View{Node: c.config.Node, Viewer: v.name, Role: string(v.role), ClientIP: v.address}}
	name, show := c.route(hr.URL.Path)
	if show == nil {
		c.writeDenial(w, hr, base, &denial{http.StatusNotFound, "There is no such page", "The address may have been shortened. Begin from the overview."})
		return
	}
	r.view.Page = name
	if name == "live" {
		c.live.serve(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(hr.Context(), pageTimeout)
	defer cancel()
	r.Request = hr.WithContext(ctx)
	p, err := show(r)
	if err == nil {
		err = c.record(r)
	}
	if err != nil {
		c.writeDenial(w, hr, base, c.denialOf(err, name))
		return
	}
	c.write(w, r, p)
}

// route returns the page of a path; nil: there is none.
func (c *Console) route(path string) (name string, show func(*request) (*page, error)) {
	first, rest, nested := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "/" || path == "":
		return "overview", overview
	case nested && rest != "" && !strings.Contains(rest, "/"):
		switch first {
		case "tenants":
			return "tenant", tenantPage
		case "calls":
			return "call", callPage
		}
	case !nested:
		switch first {
		case "calls":
			return "calls", callsPage
		case "failures":
			return "failures", failuresPage
		case "search":
			return "search", searchPage
		case "report":
			return "report", reportPage
		case "configuration":
			return "configuration", configurationPage
		case "live":
			return "live", func(*request) (*page, error) { return nil, nil }
		}
	}
	return "", nil
}

// record writes who looked at what, before it is shown: what cannot be written is not shown where it has to be.
func (c *Console) record(r *request) error {
	looked := r.view.Question != ""
	if !looked && (!c.config.AuditViews || r.view.Calls == 0 && r.view.RequestID == "") {
		return nil
	}
	r.view.CSV = r.URL.Query().Has("csv")
	if err := c.config.Record(&r.view); err != nil {
		return fmt.Errorf("%w: %w", errNotRecorded, err)
	}
	return nil
}

var (
	errNotRecorded = errors.New("the view could not be written to the audit log")
	errNoPage      = errors.New("there is no such page")
)

// denialOf says an error in the words of a page. What a page may hold of it is decided here: details go into the log.
func (c *Console) denialOf(err error, name string) *denial {
	var answer *report.Error
	switch {
	case errors.Is(err, errOutOfScope) || errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		return &denial{http.StatusNotFound, "There is no such customer here", "Either nothing is known of it, or you may not see it."}
	case errors.Is(err, errNoPage):
		return &denial{http.StatusNotFound, "Nothing is known of this", "The history keeps calls for a limited time. If the request id is right, it is older, or its row was lost: the audit log has it."}
	case errors.Is(err, errNotRecorded):
		c.config.Logger.Error("a view of the console could not be audited and was not shown", zap.String("page", name), zap.Error(err))
		return &denial{http.StatusServiceUnavailable, "This view cannot be recorded now", "The console must record who sees calls, and its audit log cannot be written. Nothing is shown meanwhile; tell the gateway's administrator."}
	case errors.Is(err, ErrNoHistory):
		return &denial{http.StatusConflict, "No history is kept", "This page shows single calls, which the gateway keeps with the option history. Tell its administrator."}
	case errors.Is(err, errPersonsHidden):
		return &denial{http.StatusForbidden, "Persons are not shown to you", "The gateway hides persons' names, so that calls cannot be searched by them."}
	case errors.Is(err, context.Canceled):
		return &denial{http.StatusServiceUnavailable, "The page was left", "Load it again."}
	}
	c.config.Logger.Warn("a page of the console could not be shown", zap.String("page", name), zap.Error(err))
	if errors.Is(err, context.DeadlineExceeded) {
		return &denial{http.StatusServiceUnavailable, "It took too long", "The gateway or its history did not answer in time. Load the page again in a minute; if it stays, narrow it down or tell the gateway's administrator."}
	}
	return &denial{http.StatusServiceUnavailable, "The page cannot be shown now", "The gateway's history or storage gives no answer. This says nothing of the customer's calls. The gateway's log has the cause."}
}
