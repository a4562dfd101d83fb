package erpsync

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// An approval and a sign-in in the same browser do not end each other.
	attemptCookie         = "__Host-erpsync-attempt"
	approvalAttemptCookie = "__Host-erpsync-approve"

	attemptPurpose = "erpsync attempt"

	// attemptLifetime is how long a sign-in may take; an administrator who approves reads first.
	attemptLifetime  = 10 * time.Minute
	approvalLifetime = time.Hour
)

// attempt is a visit to SuperID that has begun, to sign in or to approve. It travels sealed in a
// cookie of the browser that began it, so that nothing is stored for strangers.
type attempt struct {
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

func (a attempt) signIn() superid.SignIn {
	return superid.SignIn{Tenant: a.Tenant, RedirectURI: a.Redirect, State: a.State, Nonce: a.Nonce, Verifier: a.Verifier}
}

// begin sends the browser to SuperID.
func (e *endpoints) begin(w http.ResponseWriter, r *http.Request, a attempt) *auth.Refusal {
	lifetime := attemptLifetime
	if a.Approval {
		lifetime = approvalLifetime
	}
	a.State, a.Nonce, a.Verifier = newID(), newID(), oauth2.GenerateVerifier()
	a.Redirect, a.Until = auth.OwnOrigin(r)+e.prefix+"/callback", time.Now().Add(lifetime)
	target, err := e.h.apps[a.App].superid.AuthorizeURL(a.signIn())
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	setAttempt(w, a.cookie(), e.h.ring.Seal(attemptPurpose, []string{e.h.environment.Base()}, plain), lifetime)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// callback takes SuperID's answer to an attempt.
func (e *endpoints) callback(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	answer := r.URL.Query()
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return e.failed("The answer of SuperID cannot be read.", err)
		}
		answer = r.PostForm
	}
	a, err := e.attempt(r, answer.Get("state"))
	switch {
	case err != nil && navigated(r):
		e.page(w, tooLate, approval{})
		return nil
	case err != nil:
		return e.failed("This sign-in was not begun in this browser, or too long ago.", err)
	}
	clearAttempt(w, a.cookie())
	switch allowed := e.exchanges.Allow(); {
	case !allowed && a.Approval:
		e.page(w, approvalPages[superid.ApprovalUnavailable], approval{})
		return nil
	case !allowed:
		return auth.Refuse(auth.ProofUnavailable, errors.New("too many answers of SuperID at once")).After(time.Second)
	case a.Approval:
		return e.approved(w, a, answer)
	}
	return e.h.Browser.signedIn(w, r, a, answer)
}

// attempt gives what the browser began here under that state.
func (e *endpoints) attempt(r *http.Request, state string) (attempt, error) {
	signIn, err := e.open(r, attemptCookie)
	if err == nil && !signIn.Approval && auth.NewSecret(signIn.State).Equal(state) {
		return signIn, nil
	}
	approving, approvalErr := e.open(r, approvalAttemptCookie)
	if approvalErr == nil && approving.Approval && auth.NewSecret(approving.State).Equal(state) {
		return approving, nil
	}
	return attempt{}, errors.Join(err, approvalErr, errors.New("the answer is to none of this browser's attempts"))
}

func (a attempt) cookie() string {
	if a.Approval {
		return approvalAttemptCookie
	}
	return attemptCookie
}

// open gives the attempt in a cookie, if it can still be answered.
func (e *endpoints) open(r *http.Request, cookie string) (a attempt, err error) {
	sealed, err := onlyCookie(r, cookie)
	if err != nil {
		return a, err
	}
	plain, err := e.h.ring.Open(attemptPurpose, []string{e.h.environment.Base()}, sealed)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(plain, &a); err != nil {
		return a, err
	}
	app := e.h.apps[a.App]
	switch {
	case time.Now().After(a.Until):
		return a, errors.New("begun too long ago")
	case app == nil, a.Approval && !app.takesApprovals(), !a.Approval && (e.h.Browser == nil || e.h.Browser.App != a.App):
		return a, errors.New("begun for an app that is not configured for it any more")
	}
	return a, nil
}

func (e *endpoints) failed(detail string, cause error) *auth.Refusal {
	refusal := auth.Refuse(auth.CredentialInvalid, cause)
	refusal.Status, refusal.Detail, refusal.SignIn = http.StatusForbidden, detail, e.h.Browser.signInURL()
	return refusal
}

// setAttempt keeps the visit that has begun. SuperID may post its answer from its own site, so
// the cookie has to come along from there; the pop-up of a panel is no frame.
func setAttempt(w http.ResponseWriter, cookie, sealed string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: sealed, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, MaxAge: int(lifetime.Seconds())})
}

// clearAttempt takes it back from a browser whose attempt has been answered.
func clearAttempt(w http.ResponseWriter, cookie string) { setAttempt(w, cookie, "", -time.Second) }

// navigated tells that a person looks at the answer rather than a script.
func navigated(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// localPath is where to go after signing in: a path of this site, or its root.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\t\r\n") || len(s) > 1024 {
		return "/"
	}
	return s
}
