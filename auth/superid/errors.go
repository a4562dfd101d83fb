package superid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

const maxDescription = 300

// Kind says what an error of SuperID's asks for.
type Kind uint8

const (
	// Outage may pass: no answer, or one of a server that fails.
	Outage Kind = iota
	// Ended: the code, the refresh token or the id_token is not good, and will not be. At a token endpoint only
	// invalid_grant says so.
	Ended
	// Misconfigured: the endpoint refuses the app's own request. That says nothing about the person, and its operator
	// can change it.
	Misconfigured
)

// Error is a failure at SuperOffice's sign-in. It holds no token, code or secret.
type Error struct {
	// Step says what was being done: "code", "refresh", "id token", …
	Step string
	// Code and Description are the vendor's, bounded and without control characters.
	Code        string
	Description string
	Kind        Kind
	cause       error
}

func (e *Error) Error() string {
	text := "superid: " + e.Step
	if e.Code != "" {
		text += ": " + e.Code
	}
	if e.Description != "" {
		text += ": " + e.Description
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.cause }

// Remedy returns what the operator is to do about a Misconfigured error of the app.
func (e *Error) Remedy() string {
	switch e.Code {
	case "invalid_client":
		return "compare client_id and client_secret with the app's registration in SuperOffice's developer portal, for this environment; a new secret is taken from its file at the next attempt"
	case "unauthorized_client":
		return "have SuperOffice's app manager allow the app to sign people in with codes and refresh tokens"
	case "invalid_request":
		return "compare the redirect addresses of the app's registration with this site's; if SuperID does not take PKCE beside a client secret, set pkce off"
	}
	return "compare the app's registration in SuperOffice's developer portal (client id, client secret, redirect addresses) with the configuration; if it is right, SuperID fails"
}

// passing keeps a transport's error without the URL, which may hold a secret in its query.
func passing(step string, cause error) *Error {
	var withURL *url.Error
	if errors.As(cause, &withURL) {
		cause = withURL.Err
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		cause = context.DeadlineExceeded
	}
	return &Error{Step: step, cause: cause}
}

func refused(step, why string, args ...any) *Error {
	return &Error{Step: step, Kind: Ended, cause: fmt.Errorf(why, args...)}
}

// describe returns the failure of a request to the token endpoint.
func describe(step string, err error) *Error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response == nil {
		return passing(step, err)
	}
	said := &Error{Step: step, Code: Clean(answer.ErrorCode), Description: Clean(answer.ErrorDescription), Kind: kindOf(answer.Response.StatusCode, answer.ErrorCode)}
	if said.Code == "" {
		said.cause = errors.New("HTTP " + answer.Response.Status)
	}
	return said
}

// kindOf returns what an answer of the token endpoint means. What no standard has, a 4xx without a body and a page are no
// word about the person.
func kindOf(status int, code string) Kind {
	switch {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return Outage
	case code == "invalid_grant":
		return Ended
	case code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		return Outage
	case status >= 400, code != "":
		return Misconfigured
	}
	return Outage
}

// Clean makes a text of the vendor's fit for a log or a page: one line, bounded,
// without control characters.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxDescription {
		s = strings.ToValidUTF8(s[:maxDescription], "")
	}
	return s
}

// firstClass keeps to the library's classes of failure: its full text can quote claims.
func firstClass(err error) error {
	for _, class := range []error{
		jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrTokenMalformed,
	} {
		if errors.Is(err, class) {
			return class
		}
	}
	return errors.New("not valid")
}
