package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
)

// Header values of every answer, made once.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// WriteRefusal answers a refusal: a person in a browser sees a page, a program a problem document. What page leaves
// out follows from the refusal: its name, its status, where it leads.
func (g *Gateway) WriteRefusal(w http.ResponseWriter, r *http.Request, requestID string, refusal *auth.Refusal, page webpage.Page) {
	if !webpage.Wanted(r) {
		g.writeProblem(w, requestID, refusal)
		return
	}
	page.RequestID, page.Status = requestID, refusal.Status
	page.Name = cmp.Or(page.Name, refusal.Ending, pageOf(refusal))
	if page.Links == nil {
		page.Links = linksOf(refusal)
	}
	if page.Opener != nil {
		page.Opener.Reason = string(refusal.Reason)
	}
	g.announce(w.Header(), refusal)
	webpage.Write(w, r, page)
}

// pageOf names the page for a refusal that a navigation meets.
func pageOf(refusal *auth.Refusal) string {
	switch refusal.Reason {
	case auth.MethodNotAllowed, auth.PathNotCanonical, auth.QueryNotUnderstood, auth.UpgradeRefused, auth.MediaTypeUnsupported:
		return "for_programs"
	case auth.CredentialMissing, auth.SignInAgain:
		return "sign_in_first"
	case auth.TenantNotGranted, auth.TenantSuspended, auth.Internal:
		return string(refusal.Reason)
	case auth.SessionUnavailable:
		return "store_unavailable"
	}
	if refusal.Status >= http.StatusInternalServerError {
		return "unavailable"
	}
	return "refused"
}

// linksOf returns where a person goes on from a refusal.
func linksOf(refusal *auth.Refusal) []webpage.Link {
	if refusal.SignIn != "" {
		return []webpage.Link{{Label: "sign_in", URL: refusal.SignIn}}
	}
	return []webpage.Link{{Label: "start", URL: "/"}}
}

// announce sets the headers that say how to go on, in either form.
func (g *Gateway) announce(h http.Header, refusal *auth.Refusal) {
	if refusal.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", strings.Join(g.challenges(refusal.InvalidToken), ", "))
	}
	if refusal.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
}

// challenges returns what this site takes, as WWW-Authenticate has it (RFC 9110, section 11.6.1). SOTicket is
// SuperOffice's own scheme, and Session stands for the cookie of a site that takes nothing in Authorization: there has to be one.
// invalid answers a Bearer token that was refused (RFC 6750, section 3.1).
func (g *Gateway) challenges(invalid bool) (all []string) {
	taken := g.config.SuperOffice
	if len(g.config.Issuers) > 0 || taken.takes(auth.BroughtBearer) {
		bearer := "Bearer"
		if invalid {
			bearer += ` error="invalid_token"`
		}
		all = append(all, bearer)
	}
	if taken.takes(auth.BroughtTicket) {
		all = append(all, "SOTicket")
	}
	if taken.takes(auth.BroughtBasic) {
		all = append(all, `Basic realm="SuperOffice"`)
	}
	if len(all) == 0 {
		all = append(all, "Session")
	}
	return all
}

// writeProblem writes a refusal as an RFC 9457 problem document.
func (g *Gateway) writeProblem(w http.ResponseWriter, requestID string, refusal *auth.Refusal) {
	body, err := marshal(struct {
		Type     string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail"`
		Reason   string `json:"reason"`
		Pointer  string `json:"pointer,omitempty"`
		SignIn   string `json:"sign_in,omitempty"`
		Approve  string `json:"approve,omitempty"`
		Running  string `json:"running,omitempty"`
		SameKey  bool   `json:"same_key,omitempty"`
		Instance string `json:"instance"`
	}{
		refusal.Reason.Page(), strings.ReplaceAll(string(refusal.Reason), "_", " "), refusal.Status, refusal.Detail,
		string(refusal.Reason), refusal.Pointer, refusal.SignIn, refusal.Approve, refusal.Running, refusal.SameKey, requestID,
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	g.announce(h, refusal)
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}

// marshal returns a value as JSON in which an address can be copied as it stands. json.Marshal writes & as \u0026, for the sake of
// pages that JSON is put into; few answers hold one.
func marshal(value any) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil || !bytes.Contains(body, []byte(`\u0026`)) {
		return body, err
	}
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(value)
	return bytes.TrimSuffix(plain.Bytes(), []byte("\n")), err
}

// WriteJSON writes a value of the gateway's own as the answer.
func WriteJSON(w http.ResponseWriter, value any) *auth.Refusal {
	body, err := marshal(value)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
