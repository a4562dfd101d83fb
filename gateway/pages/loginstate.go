package pages

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// Each attempt has a cookie of its own, so that two tabs may sign in at once, and an approval and a sign-in in the
	// same browser do not end each other.
	signInCookie  = "__Host-erpsync-attempt"
	approveCookie = "__Host-erpsync-approve"

	// maxAttempts is how many attempts a browser has side by side. A further one ends the oldest.
	maxAttempts = 5

	attemptPurpose = "erpsync attempt"

	// signInLifetime is how long a sign-in may take; an administrator who approves reads first.
	signInLifetime   = 10 * time.Minute
	approvalLifetime = time.Hour

	// expiredLifetime is how much longer the browser keeps it: an answer that comes too late is told from one to
	// nothing, and leads to where the person wanted.
	expiredLifetime = time.Hour

	// approvalState begins the states of approvals, so that one whose cookie is gone ends on a page about approving.
	approvalState = "approve-"
)

var (
	errExpired  = errors.New("begun too long ago")
	errAnswered = errors.New("the state was answered already")
)

// loginState is a visit to SuperID that has begun, to sign in or to approve. It travels sealed in a
// cookie of the browser that began it, so that nothing is stored for strangers.
type loginState struct {
	App      string             `json:"a"`
	Approval bool               `json:"x,omitempty"`
	State    string             `json:"s"`
	Nonce    string             `json:"n"`
	Verifier string             `json:"v"`
	Tenant   superoffice.Tenant `json:"t,omitempty"`
	Return   string             `json:"r,omitempty"`
	Redirect string             `json:"u"`
	Until    time.Time          `json:"e"`
	// Panel is the challenge of the iframe that a pop-up signs in for, Opener its origin.
	Panel  string `json:"p,omitempty"`
	Opener string `json:"o,omitempty"`
}

func (a loginState) signIn() superid.SignIn {
	return superid.SignIn{Tenant: a.Tenant, RedirectURI: a.Redirect, State: a.State, Nonce: a.Nonce, Verifier: a.Verifier}
}

// begin sends the browser to SuperID.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request, a loginState) *auth.Refusal {
	lifetime := signInLifetime
	if a.Approval {
		lifetime = approvalLifetime
	}
	client := p.gateway.App(a.App).SuperID
	a.State, a.Nonce, a.Verifier = rand.Text(), rand.Text(), client.NewVerifier()
	if a.Approval {
		a.State = approvalState + a.State
	}
	a.Redirect, a.Until = p.gateway.Config().Origins.Own(r)+p.base()+"/callback", time.Now().Add(lifetime)
	target := client.AuthorizeURL(a.signIn())
	plain, err := json.Marshal(a)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	p.endOldest(w, r, a.family())
	setAttempt(w, a.cookie(), p.keys.Seal(attemptPurpose, p.environment(), plain), lifetime+expiredLifetime)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// callback takes SuperID's answer to an attempt.
func (p *Pages) callback(w http.ResponseWriter, r *http.Request, visit gateway.Visit) *auth.Refusal {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	answer := r.URL.Query()
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return p.unreadable(w, r, visit, errors.New("the form in the body is malformed or longer than 64 KiB"))
		}
		answer = r.PostForm
	}
	if p.probes() && probe.IsState(answer.Get("state")) {
		p.probed(w, r, visit, answer)
		return nil
	}
	a, cookie, err := p.loginState(r, answer.Get("state"))
	if err == nil {
		if wait := p.exchanges.Allow(visit.ClientIP()); wait > 0 {
			// The attempt goes on: the browser may bring the answer again.
			return p.busy(w, r, visit, a, wait)
		}
		if !p.answered.Add(a.State, a.Until) {
			err = errAnswered
		}
	}
	if err != nil {
		if cookie != "" {
			clearAttempt(w, cookie)
		}
		return p.stale(w, r, visit, a, answer.Get("state"), err)
	}
	clearAttempt(w, cookie)
	if a.Approval {
		return p.approved(w, r, visit, a, answer)
	}
	refusal := p.signedIn(w, r, &a, answer)
	if refusal == nil {
		return nil
	}
	if refusal.Reason == auth.ProofUnavailable {
		// The attempt has not ended: the browser may bring the answer again.
		w.Header().Del("Set-Cookie")
		p.answered.Remove(a.State)
	}
	return p.ended(w, r, visit, a, refusal)
}

// unreadable answers an answer that is none.
func (p *Pages) unreadable(w http.ResponseWriter, r *http.Request, visit gateway.Visit, err error) *auth.Refusal {
	if p.sessions == nil {
		return p.approvalEnded(w, r, visit, approvalFailed, approval{}, err)
	}
	return p.ended(w, r, visit, loginState{}, p.refuse("The answer of SuperID cannot be read.", err))
}

// stale answers an attempt that cannot be answered, in the words of why.
func (p *Pages) stale(w http.ResponseWriter, r *http.Request, visit gateway.Visit, a loginState, state string, err error) *auth.Refusal {
	why := "not_here"
	switch {
	case errors.Is(err, errExpired):
		why = "expired"
	case errors.Is(err, errAnswered), state != "" && p.answered.Has(state):
		why = "answered"
	}
	if a.Approval || strings.HasPrefix(state, approvalState) || p.sessions == nil {
		return p.approvalEnded(w, r, visit, "approval_"+why, approval{App: a.App, Tenant: a.Tenant}, err)
	}
	return p.ended(w, r, visit, a, p.refuse("This sign-in was not begun in this browser, or too long ago.", err).EndsOn("sign_in_"+why))
}

// busy answers an attempt for which SuperID cannot be asked now, because too many ask for it.
func (p *Pages) busy(w http.ResponseWriter, r *http.Request, visit gateway.Visit, a loginState, wait time.Duration) *auth.Refusal {
	refusal := auth.Refuse(auth.ProofUnavailable, errors.New("too many answers of SuperID at once, from this address or in all")).After(wait)
	if a.Approval {
		return p.approvalEnded(w, r, visit, approvalUnavailable, approval{App: a.App, Tenant: a.Tenant}, refusal.Cause)
	}
	return p.ended(w, r, visit, a, refusal.EndsOn("sign_in_unavailable"))
}

// loginState returns what the browser began here under that state, and the cookie that holds it; both with errExpired too.
func (p *Pages) loginState(r *http.Request, state string) (loginState, string, error) {
	cause := errors.New("the answer is to none of this browser's attempts")
	for _, approval := range []bool{false, true} {
		sought := loginState{State: state, Approval: approval}
		// An older build kept one attempt of each kind, without the state in its name.
		for _, cookie := range []string{sought.cookie(), sought.family()} {
			a, err := p.open(r, cookie)
			if (err == nil || errors.Is(err, errExpired)) && a.Approval == approval && auth.NewSecret(a.State).Equal(state) {
				return a, cookie, err
			}
			cause = errors.Join(cause, err)
		}
	}
	return loginState{}, "", cause
}

// family begins the names of the cookies of one kind of attempt.
func (a loginState) family() string {
	if a.Approval {
		return approveCookie
	}
	return signInCookie
}

// cookie names the cookie that holds the attempt.
func (a loginState) cookie() string {
	digest := sha256.Sum256([]byte(a.State))
	return a.family() + "-" + hex.EncodeToString(digest[:6])
}

// endOldest makes room for a further attempt: of those that the browser has, maxAttempts-1 stay.
func (p *Pages) endOldest(w http.ResponseWriter, r *http.Request, family string) {
	type begun struct {
		cookie string
		until  time.Time
	}
	var all []begun
	for _, cookie := range r.Cookies() {
		if !strings.HasPrefix(cookie.Name, family+"-") || len(all) == 100 {
			continue
		}
		a, _ := p.open(r, cookie.Name) // one that cannot be opened is the oldest
		all = append(all, begun{cookie.Name, a.Until})
	}
	if len(all) < maxAttempts {
		return
	}
	slices.SortFunc(all, func(a, b begun) int { return a.until.Compare(b.until) })
	for _, oldest := range all[:len(all)-maxAttempts+1] {
		clearAttempt(w, oldest.cookie)
	}
}

// open returns the login state in a cookie, if it can still be answered.
func (p *Pages) open(r *http.Request, cookie string) (a loginState, err error) {
	sealed, err := gateway.OnlyCookie(r, cookie)
	if err != nil || sealed == "" {
		return a, err
	}
	plain, err := p.keys.Open(attemptPurpose, p.environment(), sealed)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(plain, &a); err != nil {
		return a, err
	}
	app := p.gateway.App(a.App)
	switch {
	case app == nil, a.Approval && !app.TakesApprovals(), !a.Approval && (p.sessions == nil || p.sessions.App != a.App):
		return a, errors.New("begun for an app that is not configured for it any more")
	case time.Now().After(a.Until):
		return a, errExpired
	}
	return a, nil
}

// environment binds sealed values to where they were made.
func (p *Pages) environment() []string { return []string{p.gateway.Config().Environment.Base()} }

// setAttempt keeps the visit that has begun. SuperID may post its answer from its own site, so
// the cookie has to come along from there; the pop-up of a panel is no frame.
func setAttempt(w http.ResponseWriter, cookie, sealed string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: sealed, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, MaxAge: int(lifetime.Seconds())})
}

// clearAttempt takes it back from a browser whose attempt has been answered.
func clearAttempt(w http.ResponseWriter, cookie string) { setAttempt(w, cookie, "", -time.Second) }
