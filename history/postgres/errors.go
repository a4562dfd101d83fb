package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// The classes of SQLSTATE, and single ones, that mean something here.
const (
	dataException        = "22"
	integrity            = "23"
	programLimit         = "54"
	readOnly             = "25006"
	serializationFailure = "40001"
	deadlock             = "40P01"
	lockTimeout          = "55P03"
	noTable              = "42P01"
	noSchema             = "3F000"
)

// state returns the SQLSTATE of an error; "" if the server said none.
func state(err error) string {
	var of *pgconn.PgError
	if errors.As(err, &of) {
		return of.Code
	}
	return ""
}

// repeats reports whether another transaction was in the way.
func repeats(err error) bool {
	code := state(err)
	return code == serializationFailure || code == deadlock || code == lockTimeout
}

// said are classes whose messages say what is wrong with the server or the role, and never quote a row.
var said = []string{"08", "25", "28", "3D", "3F", "42501", "53", "55", "57", "58"}

// classify tells errors that are a row's own fault from trouble that may pass: a server that is away, read-only, full or busy.
// Of a server's errors it keeps no text that may quote a row.
func classify(err error) error {
	var of *pgconn.PgError
	if !errors.As(err, &of) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no answer from PostgreSQL in time: %w", err)
		}
		return err
	}
	text := fmt.Sprintf("PostgreSQL: SQLSTATE %s", of.Code)
	for _, class := range said {
		if strings.HasPrefix(of.Code, class) {
			text = fmt.Sprintf("PostgreSQL: %s (SQLSTATE %s)", of.Message, of.Code)
		}
	}
	for name, value := range map[string]string{"table": of.TableName, "column": of.ColumnName, "constraint": of.ConstraintName} {
		if value != "" {
			text += " " + name + " " + value
		}
	}
	plain := &serverError{text, of.Code}
	switch {
	case strings.HasPrefix(of.Code, dataException), strings.HasPrefix(of.Code, integrity), strings.HasPrefix(of.Code, programLimit):
		return fmt.Errorf("%w: %w", history.ErrNeverWritten, plain)
	case of.Code == noTable, of.Code == noSchema:
		return fmt.Errorf("%w: %w", history.ErrGone, plain)
	}
	return plain
}

// serverError is what is told of a server's error.
type serverError struct{ text, code string }

func (e *serverError) Error() string { return e.text }
