// Package historytest is what every store of a history has to pass. A driver's tests run it with places of the driver's own.
package historytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Place is where a history is kept.
type Place interface {
	// Open opens the history for a gateway; it is closed when the test ends.
	Open(ctx context.Context, gateway history.Gateway) (history.Store, error)
	// DB looks at the tables beside the store; Text returns a statement, in which every ? is an argument, as it reads it.
	DB() *sql.DB
	Text(statement string) string
}

// New returns a place in which there is nothing.
type New func(t testing.TB) *At

// At is a place within a test.
type At struct{ Place }

// Store is an open history within a test.
type Store struct {
	history.Store
	at *At
}

// Open opens the history, and fails the test if that fails.
func (a *At) Open(t testing.TB, gateway history.Gateway) *Store {
	t.Helper()
	store, err := a.Place.Open(t.Context(), gateway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &Store{store, a}
}

// QueryRow asks the tables for one row.
func (s *Store) QueryRow(t testing.TB, text string, args ...any) *sql.Row {
	t.Helper()
	return s.at.DB().QueryRowContext(t.Context(), s.at.Text(text), args...)
}

// ThisNode is the gateway of most tests.
var ThisNode = history.Gateway{Node: "this", Started: time.Now()}

// Test runs what every store has to pass.
func Test(t *testing.T, fresh New) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, New){
		"WhatOpensAndWhatCloses":                                        whatOpensAndWhatCloses,
		"ASuccessClosesWhatItCoversAndNothingElse":                      aSuccessClosesWhatItCoversAndNothingElse,
		"ASuccessThatBeganBeforeTheFailureWasOverProvesNothing":         aSuccessThatBeganBeforeTheFailureWasOverProvesNothing,
		"AnotherTenantOrEnvironmentIsAnother":                           anotherTenantOrEnvironmentIsAnother,
		"CallsOfAGroupSeeWhatThoseBeforeThemDid":                        callsOfAGroupSeeWhatThoseBeforeThemDid,
		"WhatFailsDoesNotDependOnTheOrderInWhichCallsAreWritten":        whatFailsDoesNotDependOnTheOrderInWhichCallsAreWritten,
		"FailuresAreGroupedByCauseWithTheirFirstAndLastCall":            failuresAreGroupedByCauseWithTheirFirstAndLastCall,
		"ACallWithoutEndFailsUntilItsEndComesAfterAll":                  aCallWithoutEndFailsUntilItsEndComesAfterAll,
		"APersonClosesAGroupAndALaterFailureOpensAnother":               aPersonClosesAGroupAndALaterFailureOpensAnother,
		"WhatFailedLongAgoGoesWithItsRows":                              whatFailedLongAgoGoesWithItsRows,
		"AnImportFillsGapsAndDoublesNothing":                            anImportFillsGapsAndDoublesNothing,
		"ACallThatWasImportedWithoutItsEndBecomesUnknown":               aCallThatWasImportedWithoutItsEndBecomesUnknown,
		"AnIncompleteCallOpensAndClosesWhatIsKnownOfIt":                 anIncompleteCallOpensAndClosesWhatIsKnownOfIt,
		"ARowTakesItsEndOnceAndKeepsWhatItHas":                          aRowTakesItsEndOnceAndKeepsWhatItHas,
		"ACallWithoutEndIsUnknownWhenItsGatewayStartsAgain":             aCallWithoutEndIsUnknownWhenItsGatewayStartsAgain,
		"ACallIsUnknownWhenItsGatewayIsSilentForLongerThanACallMayLast": aCallIsUnknownWhenItsGatewayIsSilentForLongerThanACallMayLast,
		"TheLastCallsOfFailingKeysAreFoundWithTheirWholeKeySets":        theLastCallsOfFailingKeysAreFoundWithTheirWholeKeySets,
		"OfTwoCallsThatEndedTogetherTheLastThatBeganHasTheKey":          ofTwoCallsThatEndedTogetherTheLastThatBeganHasTheKey,
		"WhatWasSentSinceIsFoundWhateverItCameTo":                       whatWasSentSinceIsFoundWhateverItCameTo,
		"CallsAreFoundByWhatIsKnownOfThem":                              callsAreFoundByWhatIsKnownOfThem,
		"ACallIsReadAsItWasWritten":                                     aCallIsReadAsItWasWritten,
		"APageBehindACallThatIsGoneIsAnError":                           aPageBehindACallThatIsGoneIsAnError,
		"ATenantIsForgottenAndNothingElse":                              aTenantIsForgottenAndNothingElse,
		"TenantsAreSearchedSortedAndTurnedByPages":                      tenantsAreSearchedSortedAndTurnedByPages,
		"ATenantIsShownWithItsConnectionsAsTheyAre":                     aTenantIsShownWithItsConnectionsAsTheyAre,
		"TheLastFailureIsNoneThatSucceededAfterAll":                     theLastFailureIsNoneThatSucceededAfterAll,
		"EachCallIsCountedOnceHoweverItsRowsAreWritten":                 eachCallIsCountedOnceHoweverItsRowsAreWritten,
		"UsageIsOfTheDaysTheTenantAndTheAppThatAreAskedFor":             usageIsOfTheDaysTheTenantAndTheAppThatAreAskedFor,
		"DaysOutliveTheirRowsAndAreNotCountedAgain":                     daysOutliveTheirRowsAndAreNotCountedAgain,
		"TextsThatADatabaseRefusesAreKeptAllTheSame":                    textsThatADatabaseRefusesAreKeptAllTheSame,
		"KeysOfAnyKindAndLengthOpenAndClose":                            keysOfAnyKindAndLengthOpenAndClose,
		"WhatWasCommittedAlreadyIsNotCountedAgain":                      whatWasCommittedAlreadyIsNotCountedAgain,
		"AGatewayThatIsForgottenIsToldSo":                               aGatewayThatIsForgottenIsToldSo,
		"TheOldestGoFirst":                                              theOldestGoFirst,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh)
		})
	}
}

// Began is a call that began at a time and is not over.
func Began(id string, at time.Time) history.Row {
	arguments := superoffice.Arguments{Connection: 612, Keys: []int32{386, 230}}
	return history.Row{
		RequestID: id, Node: "this", Environment: "online", App: "erp", Tenant: "Cust12345", Operation: superoffice.ForceResync,
		Understood: true, Connection: 612, Keys: history.PackKeys(&arguments), KeyCount: 2, Started: at, Sent: at,
	}
}

// Over is the end of a call.
func Over(r history.Row, class outcome.Class, after time.Duration) history.Row {
	r.Decision, r.Outcome, r.Sends, r.Status, r.Ended = "allowed", class, 1, 200, r.Started.Add(after)
	return r
}

// Calls makes rows of one tenant, each a minute after the one before.
type Calls struct {
	N  int
	At time.Time
}

// NewCalls returns calls that began yesterday.
func NewCalls() *Calls { return &Calls{At: time.Now().Add(-24 * time.Hour).Truncate(time.Microsecond)} }

// Call is over a second after it began. keys are int or string; none means everything.
func (c *Calls) Call(op superoffice.Operation, class outcome.Class, connection int32, keys ...any) history.Row {
	c.N++
	a := superoffice.Arguments{Connection: connection, Everything: len(keys) == 0}
	for _, key := range keys {
		switch key := key.(type) {
		case int:
			a.Keys = append(a.Keys, int32(key))
		case string:
			a.ExternalKeys = append(a.ExternalKeys, key)
		}
	}
	if op.Arguments() == superoffice.ExternalKeys {
		a.ActorType = "Customer"
	}
	r := Began(fmt.Sprint(c.N), c.At.Add(time.Duration(c.N)*time.Minute))
	r.Operation, r.Connection, r.Everything, r.ActorType = op, connection, a.Everything, a.ActorType
	r.Keys, r.KeyCount = history.PackKeys(&a), len(keys)
	r = Over(r, class, time.Second)
	if class == outcome.Error {
		r.ErrorCode = "E1"
	}
	return r
}

// Write writes rows.
func Write(t testing.TB, s history.Store, rows ...history.Row) {
	t.Helper()
	if err := s.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

// Failures returns what fails.
func Failures(t testing.TB, s history.Store, filter history.Filter) []history.Failure {
	t.Helper()
	found, err := s.Failures(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Failing returns every key that fails, with its cause.
func Failing(t testing.TB, s *Store) (all []string) {
	t.Helper()
	rows, err := s.at.DB().QueryContext(t.Context(), "SELECT s.connection, s.kind, s.no_blank, k.key, f.outcome, f.error_code, k.ended FROM failing k JOIN failures f ON f.id = k.failure JOIN scopes s ON s.id = k.scope AND s.id = f.scope")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var connection, ended int64
		var kind, class, code string
		var noBlank bool
		var key any
		if err := rows.Scan(&connection, &kind, &noBlank, &key, &class, &code, &ended); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(connection, kind, noBlank, key, class, code, ended))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// Became returns what a call came to: its outcome and cause, "open" while it has no end, "" if there is no such row.
func Became(t testing.TB, s *Store, id string) string {
	t.Helper()
	var class, cause string
	var ended sql.NullInt64
	err := s.QueryRow(t, "SELECT outcome, outcome_cause, ended FROM calls WHERE request_id = ?", id).Scan(&class, &cause, &ended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ""
	case err != nil:
		t.Fatal(err)
	case !ended.Valid:
		return "open"
	}
	return strings.TrimSpace(class + " " + cause)
}

// Count returns how many calls there are.
func Count(t testing.TB, s *Store) (n int) {
	t.Helper()
	if err := s.QueryRow(t, "SELECT count(*) FROM calls").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Trim trims until there is nothing more, and returns in how many steps.
func Trim(t testing.TB, s history.Store, now time.Time, retention history.Retention) (steps int) {
	t.Helper()
	for {
		steps++
		more, err := s.Trim(t.Context(), now, retention)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return steps
		}
	}
}

// BenchmarkAMillionKeys asks for what fails among a million keys: 300 tenants, 5 causes each. settle does what the database
// does by itself after a while.
func BenchmarkAMillionKeys(b *testing.B, fresh New, settle func(*At)) {
	b.Helper()
	at := fresh(b)
	s, c := at.Open(b, ThisNode), NewCalls()
	const tenants, causes, keys = 300, 5, 667
	for tenant := range tenants {
		rows := make([]history.Row, 0, causes)
		for cause := range causes {
			named := make([]any, keys)
			for i := range named {
				named[i] = cause*keys + i
			}
			r := c.Call(superoffice.ForceResync, outcome.Error, 612, named...)
			r.Tenant, r.ErrorCode = fmt.Sprintf("Cust%d", 10000+tenant), fmt.Sprintf("E%d", cause)
			rows = append(rows, r)
		}
		Write(b, s, rows...)
	}
	settle(at)
	for name, filter := range map[string]history.Filter{"all": {}, "one tenant": {Tenant: "Cust10007"}, "since": {Since: c.At.Add(time.Duration(c.N-100) * time.Minute)}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Failures(b, s, filter)
			}
		})
	}
	// A second try reads the calls of all groups once, and of one group before each call.
	for name, groups := range map[string][]history.Failure{"calls of all": Failures(b, s, history.Filter{}), "calls of a group": Failures(b, s, history.Filter{Tenant: "Cust10007"})[:1]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, f := range groups {
					if failed, err := s.FailedCalls(b.Context(), f.ID); err != nil || len(failed.Calls) != 1 || failed.Calls[0].Failing != keys {
						b.Fatalf("%+v, %v", failed, err)
					}
				}
			}
		})
	}
	all := 0
	for _, f := range Failures(b, s, history.Filter{}) {
		all += f.Keys
	}
	if all != tenants*causes*keys {
		b.Errorf("%d keys", all)
	}
}
