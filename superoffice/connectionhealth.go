package superoffice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Operations of the agent with which an operator asks how an ERP connection is. Neither moves data, and neither is for
// callers.
const (
	ConnectionSummaryOperation = "GetErpSyncConnectionSummary"
	TestConnectionOperation    = "TestConnectionById"
)

// ConnectionSummaryBody returns the body of GetErpSyncConnectionSummary for a connection.
func ConnectionSummaryBody(connection int32) string {
	return fmt.Sprintf(`{"ErpSyncConnectionId":%d}`, connection)
}

// TestConnectionBody returns the body of TestConnectionById for a connection.
func TestConnectionBody(connection int32) string {
	return fmt.Sprintf(`{"ErpConnectionId":%d}`, connection)
}

// ConnectionSummary is SuperOffice's summary of a connection.
type ConnectionSummary struct {
	Active, Deleted bool
	// LastSync is when it last synchronised, in the time zone of SuperOffice's answer; zero: never.
	LastSync time.Time
}

// ParseConnectionSummary reads the answer of GetErpSyncConnectionSummary. known is false for a connection that there is not.
// An error is no absence.
func ParseConnectionSummary(body []byte) (summary ConnectionSummary, known bool, err error) {
	var answer *struct {
		Active, Deleted *bool
		LastSync        *string
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return summary, false, errors.New(ConnectionSummaryOperation + " did not answer a summary in JSON")
	}
	if answer == nil {
		return summary, false, nil
	}
	if answer.Active == nil || answer.Deleted == nil {
		return summary, false, errors.New(ConnectionSummaryOperation + " does not say whether the connection is active")
	}
	summary.Active, summary.Deleted = *answer.Active, *answer.Deleted
	if answer.LastSync == nil || *answer.LastSync == "" {
		return summary, true, nil
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if summary.LastSync, err = time.Parse(form, *answer.LastSync); err == nil {
			return summary, true, nil
		}
	}
	return ConnectionSummary{}, false, errors.New(ConnectionSummaryOperation + " answered a LastSync that is no time")
}

// ParseTestConnection reads the answer of TestConnectionById: whether the connector reaches the ERP system.
func ParseTestConnection(body []byte) (reached bool, err error) {
	switch string(bytes.TrimSpace(body)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New(TestConnectionOperation + " answered neither true nor false")
}
