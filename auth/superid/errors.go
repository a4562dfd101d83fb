package superid

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
)

const maxDescription = 300

// Error is a failure at SuperOffice's sign-in. It holds no token, code or secret.
type Error struct {
	// Step says what was being done: "code", "refresh", "id token", …
	Step string
	// Code and Description are the vendor's, bounded and without control characters.
	Code        string
	Description string
	// Fatal tells that trying again gives the same; otherwise it may pass.
	Fatal bool
	cause error
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

func fatal(step, code, description string) *Error {
	return &Error{Step: step, Code: Clean(code), Description: Clean(description), Fatal: true}
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
	return &Error{Step: step, Fatal: true, cause: fmt.Errorf(why, args...)}
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

func asError(err error, into **Error) bool { return errors.As(err, into) }

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
