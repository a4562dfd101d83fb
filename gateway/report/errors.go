package report

import (
	"fmt"
	"net/http"
)

// Error is an answer with an HTTP status of its own. Every other error of this package
// says what is wrong with the request.
type Error struct {
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func notFound(format string, args ...any) error {
	return &Error{http.StatusNotFound, fmt.Errorf(format, args...)}
}

// unavailable is an error of something that the gateway needs and that gives no answer.
func unavailable(err error) error { return &Error{http.StatusServiceUnavailable, err} }
