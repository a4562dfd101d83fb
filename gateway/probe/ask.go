package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// shortLife is how long an access token may live to be waited for without being asked to.
	shortLife = 2 * time.Minute
	// maxLife bounds what is waited for if asked to: documented are 20 minutes and an hour.
	maxLife = 75 * time.Minute
	// leeway is how long after its end a token may still be taken: .NET gives five minutes by default.
	leeway = 6 * time.Minute

	maxAnswer = 64 << 10
)

// refreshes are the results of two refreshes.
type refreshes struct {
	none          bool // there is no refresh token
	without, with string
}

// Results of one refresh.
const (
	refreshTaken   = "taken"
	refreshRefused = "refused"
	refreshUnknown = "" // no answer
)

func (p *running) refreshes(ctx context.Context, token auth.Secret) (r refreshes) {
	if token.IsZero() {
		r.none = true
		return r
	}
	refresh := func(redirectURI string) string {
		tokens, err := p.app.SuperID.ExamineRefresh(ctx, token, redirectURI)
		var refused *superid.RefusedError
		switch {
		case err == nil:
			if !tokens.Refresh.IsZero() {
				token = tokens.Refresh
				p.keep(token)
			}
			return refreshTaken
		case errors.As(err, &refused):
			return refreshRefused
		}
		return refreshUnknown
	}
	r.without = refresh("")
	r.with = refresh(p.redirect)
	return r
}

// locate returns the tenant's WebAPI; "" if it cannot be had.
func (p *running) locate(ctx context.Context) string {
	p.desk.gateway.Charge(p.app, p.tenant)
	location := p.desk.gateway.Locate(ctx, p.tenant)
	if location.Err != nil {
		return ""
	}
	return location.API
}

// agentAnswer is how the restricted agent answered its one question that moves nothing.
type agentAnswer struct {
	status int // 0: not asked, or no answer
	shape  string
	kind   string // the ErrorType, if it is a class of SuperOffice's or .NET's
}

// agent asks the restricted agent, if the token is taken at all.
func (p *running) agent(ctx context.Context, api string, seen *observations) {
	if status, _, _ := p.principal(ctx, api, seen.answer.Tokens.Access); status != http.StatusOK {
		return
	}
	status, header, body := p.ask(ctx, http.MethodPost, api, "/v1/Agents/ErpSync/"+superoffice.GetEngineStatus.String(), seen.answer.Tokens.Access)
	seen.agent.status = status
	seen.agent.shape, seen.agent.kind = shapeOf(header, body)
}

// keyArchive is how the archive answered in which look-ups find internal keys.
type keyArchive struct {
	asked  bool
	status int    // of the first answer that was no 200; 0: no answer
	wrong  string // what a look-up would not understand; "": it would
	rows   bool   // there was a row to be asked for
}

// keyArchive asks the archive for any one key, and then for that key alone.
func (p *running) keyArchive(ctx context.Context, api string, seen *observations) {
	if status, _, _ := p.principal(ctx, api, seen.answer.Tokens.Access); status != http.StatusOK {
		return
	}
	k := &seen.keys
	k.asked = true
	ask := func(path string) []byte {
		status, _, body := p.ask(ctx, http.MethodGet, api, path, seen.answer.Tokens.Access)
		if status != http.StatusOK {
			k.status, k.wrong = status, "no answer"
			if status != 0 {
				k.wrong = fmt.Sprintf("HTTP %d", status)
			}
			return nil
		}
		return body
	}
	body := ask(superoffice.AnyKeyArchive())
	if body == nil {
		return
	}
	lookup, found, err := superoffice.ParseAnyKey(body)
	switch {
	case err != nil:
		k.wrong = err.Error()
		return
	case !found:
		return
	}
	k.rows = true
	if body = ask(lookup.KeyArchive(nil)); body == nil {
		return
	}
	switch matches, _, err := lookup.ParseKeys(body, nil); {
	case err != nil:
		k.wrong = err.Error()
	case len(matches) == 0:
		k.wrong = "did not answer the row of a key that it had answered before"
	}
}

// expiry is how an expired token was refused.
type expiry struct {
	lifetime time.Duration
	tried    bool
	status   int // 0: it was still taken, or there was no answer
}

// expiry waits for the end of the access token, if that is not far or was asked for, and uses it once more.
func (p *running) expiry(ctx context.Context, api string, seen *observations) error {
	token := seen.answer.Tokens
	seen.expired.lifetime = time.Until(token.Expires).Round(time.Second)
	far := shortLife
	if p.options.WaitForExpiry {
		far = maxLife
	}
	if seen.expired.lifetime > far {
		return nil
	}
	if status, _, _ := p.principal(ctx, api, token.Access); status != http.StatusOK {
		return nil // without a success before, a refusal says nothing
	}
	p.enter(ForExpiry, token.Expires.Add(leeway))
	seen.expired.tried = true
	next, pause := token.Expires.Add(time.Second), 5*time.Second
	for next.Before(token.Expires.Add(leeway)) {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		if status, _, _ := p.principal(ctx, api, token.Access); status != 0 && status != http.StatusOK && status < http.StatusInternalServerError {
			seen.expired.status = status
			return nil
		}
		next = time.Now().Add(pause)
		pause = min(2*pause, 30*time.Second)
	}
	return nil
}

// principal asks whose the token is, which every token may.
func (p *running) principal(ctx context.Context, api string, token auth.Secret) (status int, header http.Header, body []byte) {
	return p.ask(ctx, http.MethodGet, api, "/v1/User/currentPrincipal", token)
}

// ask sends one request with the person's token. Status 0 is no answer.
func (p *running) ask(ctx context.Context, method, api, path string, token auth.Secret) (status int, header http.Header, body []byte) {
	if api == "" {
		return 0, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p.desk.gateway.Charge(p.app, p.tenant)
	req, err := http.NewRequestWithContext(ctx, method, api+path, http.NoBody)
	if err != nil {
		return 0, nil, nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "caddy-erpsync")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	auth.Credential{Kind: auth.Bearer, Owner: auth.AsUser, Value: token}.Write(req.Header, p.app.AppToken())
	resp, err := p.desk.gateway.Client().Do(req)
	if err != nil {
		return 0, nil, nil
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return 0, nil, nil
	}
	return resp.StatusCode, resp.Header, body
}

// knownNames are the names of the error bodies that have been seen; others are not told, since they are the service's.
var knownNames = []string{"Error", "ErrorMessage", "ErrorSource", "ErrorType", "ExceptionMessage", "ExceptionType", "Message", "MessageDetail", "StackTrace", "error", "error_description", "message", "status", "title", "traceId", "type"}

// className is a class of SuperOffice's or .NET's.
var className = regexp.MustCompile(`^(SuperOffice|System)(\.[A-Z][A-Za-z0-9]{0,40}){1,6}$`)

// shapeOf describes a body without telling what it says.
func shapeOf(header http.Header, body []byte) (shape, kind string) {
	if len(body) == 0 {
		return "empty", ""
	}
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	var object map[string]any
	if json.Unmarshal(body, &object) == nil && object != nil {
		var names []string
		others := 0
		for name := range object {
			if slices.Contains(knownNames, name) {
				names = append(names, name)
			} else {
				others++
			}
		}
		slices.Sort(names)
		if others > 0 {
			names = append(names, "other names")
		}
		if text, _ := object["ErrorType"].(string); className.MatchString(text) {
			kind = text
		}
		return strings.TrimSpace("JSON " + strings.Join(names, " ")), kind
	}
	for _, known := range []string{"text/html", "application/xml", "text/xml", "text/plain", "application/json"} {
		if media == known {
			return known, ""
		}
	}
	return "another type", ""
}
