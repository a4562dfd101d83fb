package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/guard"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Everybody has an ERP number or a company on the screen, and nobody an internal key. A look-up finds one by the other
// in SuperOffice's archives, with the credential that the app's calls are made with. It changes nothing.

// lookupTimeout bounds a look-up: credential, place and up to two archives.
const lookupTimeout = 20 * time.Second

// LookupRequest is a look-up as it is asked over HTTP. One of ERP, Key, Contact, Person, Project and Name is set.
type LookupRequest struct {
	Connection int32   `json:"connection"`
	ERP        *string `json:"erp,omitempty"`
	Key        *int32  `json:"key,omitempty"`
	Contact    *int32  `json:"contact,omitempty"`
	Person     *int32  `json:"person,omitempty"`
	Project    *int32  `json:"project,omitempty"`
	Name       *string `json:"name,omitempty"`
	// After continues behind a page: its next.
	After int32 `json:"after,omitempty"`
	// Limit is how many matches a page has at most; 0: 100, or of a name 10 companies, which are the most.
	Limit int `json:"limit,omitempty"`
}

// Lookup returns the question. An error is a *superoffice.LookupError.
func (q LookupRequest) Lookup() (superoffice.Lookup, error) {
	l := superoffice.Lookup{Connection: q.Connection, After: q.After, Limit: q.Limit}
	asked := 0
	for question, text := range map[superoffice.Question]*string{superoffice.ByERPKey: q.ERP, superoffice.ByName: q.Name} {
		if text != nil {
			l.Question, l.Text = question, *text
			asked++
		}
	}
	for question, number := range map[superoffice.Question]*int32{superoffice.ByKey: q.Key, superoffice.ByContact: q.Contact, superoffice.ByPerson: q.Person, superoffice.ByProject: q.Project} {
		if number != nil {
			l.Question, l.Number = question, *number
			asked++
		}
	}
	if asked != 1 {
		return l, &superoffice.LookupError{Field: "question", Problem: "want one of erp, key, contact, person, project and name"}
	}
	return l, l.Validate()
}

// maxLookups is how many look-ups of an app run in a tenant at a time. They are counted apart from calls, beside which a
// look-up is short.
const (
	maxLookups  = 8
	lookupPlace = "\x00lookup\x00"
)

// Found is the answer to a look-up.
type Found struct {
	Question   superoffice.Question `json:"question"`
	Connection int32                `json:"connection"`
	Matches    []superoffice.Match  `json:"found"`
	// Next is where the next page begins; 0: there is none.
	Next int32 `json:"next,omitempty"`
	// Inferred says what the answer takes for granted.
	Inferred string `json:"inferred"`
}

// LookupInferred says what a look-up takes for granted.
const LookupInferred = "Inferred, not documented: that the archive Dynamic reads ErpExternalKey and ErpInternalKey for an app, with the rights of whom it calls as. " +
	"What that person or system user may not see is not found. caddy erpsync probe checks it (key_archive)."

// Find looks up for an operator, with the app's own rights in a tenant (Onsite: the installation). It is not for an
// app that calls as its user, since an operator is none.
func (g *Gateway) Find(ctx context.Context, app *App, tenant superoffice.Tenant, l superoffice.Lookup) (Found, *auth.Refusal) {
	caller := Caller{Principal: auth.Principal{Scheme: auth.JWT, App: app.Name, Tenant: tenant}}
	grant, refusal := app.AuthoriseOperatorsLookup(ctx, caller.Principal)
	if refusal != nil {
		return Found{}, g.offerApproval(refusal, app, tenant)
	}
	return (&Admission{Caller: caller, app: app, grant: grant}).find(ctx, l)
}

// find looks up what has been validated, within the app's rate.
func (a *Admission) find(ctx context.Context, l superoffice.Lookup) (Found, *auth.Refusal) {
	g, tenant := a.app.gateway, a.Principal.Tenant
	if refusal := a.app.AuthoriseConnection(a.grant, l.Connection); refusal != nil {
		return Found{}, refusal
	}
	leave, full := g.state.meter.Acquire(guard.Limits{Tenant: maxLookups}, lookupPlace+a.app.Name, string(tenant), l.Connection)
	if full != "" {
		return Found{}, auth.Refuse(auth.TooManyInFlight, fmt.Errorf("%d look-ups of app %s run in %s", maxLookups, a.app.Name, place(string(tenant)))).After(time.Second)
	}
	defer leave()
	if wait := g.allow(ctx, a.app.Name, tenant); wait > 0 {
		return Found{}, auth.Refuse(auth.RateLimited, fmt.Errorf("rate %g of app %s in %s is used up", g.config.Limits.PerSecond, a.app.Name, place(string(tenant)))).After(wait)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r := &archiveReader{g: g, app: a.app, tenant: tenant, api: a.API}
	if refusal := r.prepare(ctx, a); refusal != nil {
		return Found{}, g.offerApproval(refusal, a.app, tenant)
	}
	found := Found{Question: l.Question, Connection: l.Connection, Matches: []superoffice.Match{}, Inferred: LookupInferred}
	var companies []superoffice.Company
	if l.Question == superoffice.ByName {
		body, refusal := r.get(ctx, l.ContactArchive())
		if refusal != nil {
			return Found{}, refusal
		}
		var err error
		if companies, found.Next, err = l.ParseCompanies(body); err != nil {
			return Found{}, auth.Refuse(auth.LookupFailed, fmt.Errorf("archive/Contact %w", err))
		}
		if len(companies) == 0 {
			return found, nil
		}
		g.Charge(a.app, tenant) // the first was charged by Allow
	}
	body, refusal := r.get(ctx, l.KeyArchive(companies))
	if refusal != nil {
		return Found{}, refusal
	}
	matches, next, err := l.ParseKeys(body, companies)
	if err != nil {
		return Found{}, auth.Refuse(auth.LookupFailed, fmt.Errorf("archive/Dynamic %w", err))
	}
	found.Matches = matches
	if l.Question != superoffice.ByName {
		found.Next = next
	}
	return found, nil
}

// archiveReader reads archives in one tenant, with the credential that a call would be made with.
type archiveReader struct {
	g      *Gateway
	app    *App
	tenant superoffice.Tenant
	source credential
	with   auth.Credential
	api    string
}

func (r *archiveReader) prepare(ctx context.Context, a *Admission) (refusal *auth.Refusal) {
	if r.source, refusal = a.credential(ctx); refusal != nil {
		return refusal
	}
	if r.with, refusal = r.source.get(ctx); refusal != nil {
		return refusal
	}
	if r.api == "" {
		r.api, refusal = r.g.hosts.find(ctx, r.tenant)
	}
	return refusal
}

// get reads one archive. Nothing but a whole 200 is an answer. Where the credential is refused or the tenant has
// moved, it asks once more.
func (r *archiveReader) get(ctx context.Context, path string) ([]byte, *auth.Refusal) {
	status, body, appToken, refusal := r.send(ctx, path)
	if refusal != nil {
		return nil, refusal
	}
	stale := !r.with.Expires.IsZero() && time.Now().After(r.with.Expires)
	switch {
	case status == http.StatusMisdirectedRequest && r.g.hosts.follows():
		if r.api, refusal = r.g.hosts.moved(ctx, r.tenant, r.api); refusal != nil {
			return nil, refusal
		}
	case status == http.StatusUnauthorized, status == http.StatusForbidden && stale:
		secretReplaced := !appToken.IsZero() && !r.app.secret.Reload().Equal(appToken.Reveal())
		next, refusal := r.source.replace(ctx, r.with, secretReplaced)
		if refusal != nil {
			return nil, refusal
		}
		if next.Same(r.with) && !secretReplaced {
			return nil, r.exhausted()
		}
		r.with = next
	default:
		return r.whole(status, body)
	}
	r.g.Charge(r.app, r.tenant)
	if status, body, _, refusal = r.send(ctx, path); refusal != nil {
		return nil, refusal
	}
	if status == http.StatusUnauthorized {
		return nil, r.exhausted()
	}
	return r.whole(status, body)
}

func (r *archiveReader) exhausted() *auth.Refusal {
	refusal := auth.Refuse(r.source.exhausted(), errors.New("SuperOffice answered 401 to a look-up"))
	if refusal.Reason == auth.SignInAgain {
		refusal.SignIn = r.g.config.Links.SignIn
	}
	return refusal
}

// whole refuses every answer that is no success.
func (r *archiveReader) whole(status int, body []byte) ([]byte, *auth.Refusal) {
	if status != http.StatusOK {
		return nil, auth.Refuse(auth.LookupFailed, fmt.Errorf("the archive answered HTTP %d", status))
	}
	return body, nil
}

func (r *archiveReader) send(ctx context.Context, path string) (status int, body []byte, appToken auth.Secret, refusal *auth.Refusal) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.api+path, http.NoBody)
	if err != nil {
		return 0, nil, appToken, auth.Refuse(auth.Internal, errors.New("the look-up's address is none"))
	}
	req.Header["Accept"], req.Header["User-Agent"] = []string{"application/json"}, userAgent
	appToken = r.app.AppToken()
	r.with.Write(req.Header, appToken)
	resp, err := r.g.Client().Do(req)
	if err != nil {
		if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
			err = withURL.Err // or what was searched for would be in the cause
		}
		return 0, nil, appToken, auth.Refuse(auth.LookupFailed, fmt.Errorf("the archive gave no answer: %w", err))
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, superoffice.MaxLookupAnswer+1)); err != nil {
		return 0, nil, appToken, auth.Refuse(auth.LookupFailed, errors.New("the archive's answer broke off"))
	}
	return resp.StatusCode, body, appToken, nil
}
