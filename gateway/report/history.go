package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	importTimeout = time.Minute
	// MaxImportCalls is how many calls an import brings at once.
	MaxImportCalls = 1000
	// maxImportText bounds each text of an imported call, in bytes.
	maxImportText = 8 << 10
)

// ImportHistory fills the history's gaps with calls of audit files. A call that the history has the end of is left as it is, so
// that the same files can be imported again.
func (s *Sites) ImportHistory(ctx context.Context, request HistoryImportRequest) (HistoryImport, error) {
	if len(request.Calls) > MaxImportCalls {
		return HistoryImport{}, fmt.Errorf("calls: %d at once; want at most %d", len(request.Calls), MaxImportCalls)
	}
	store, err := s.store()
	if err != nil {
		return HistoryImport{}, err
	}
	rows := make([]history.Row, 0, len(request.Calls))
	for i := range request.Calls {
		call := &request.Calls[i]
		row, err := call.row()
		if err != nil {
			return HistoryImport{}, fmt.Errorf("call %q: %w", shortened(call.RequestID), err)
		}
		if row.Environment = request.Environment; row.Environment == "" {
			if row.Environment, err = s.environmentOf(call); err != nil {
				return HistoryImport{}, err
			}
		}
		rows = append(rows, row)
	}
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	taken, err := store.Import(ctx, rows)
	if err != nil {
		return HistoryImport{}, unavailable(err)
	}
	return HistoryImport{Taken: taken, Known: len(rows) - taken}, nil
}

// environmentOf returns the label of the environment of a call. Its line names it at its end alone; lines of an installation onsite
// name none, and those of a base URL do not say which.
func (s *Sites) environmentOf(call *ImportedCall) (label string, err error) {
	name, open := call.Environment, call.Environment == "" && call.Ended == nil
	for _, site := range s.list() {
		if site.Config().Environment.Name() != name && !open {
			continue
		}
		if label != "" && label != site.EnvironmentLabel() {
			return "", fmt.Errorf("environment: the lines do not say which of %s and %s they are of; name it", label, site.EnvironmentLabel())
		}
		label = site.EnvironmentLabel()
	}
	switch {
	case label != "":
		return label, nil
	case name == "" || name == "custom":
		return "", errors.New("environment: the lines are of a SuperOffice that is no longer configured; name its base URL or upstream")
	}
	return name, nil
}

func shortened(text string) string { return text[:min(len(text), 64)] }

// row returns the row of an imported call.
func (c *ImportedCall) row() (history.Row, error) {
	row := history.Row{
		RequestID: c.RequestID, Node: c.Node, App: c.App, Tenant: c.Tenant, Principal: c.Principal, Scheme: c.Scheme, Credential: c.Credential, ActorType: c.ActorType,
		Decision: c.Decision, Reason: c.Reason, Cause: c.Cause, Replays: c.Replays, Retries: c.Retries, Outcome: outcome.Class(c.Outcome), OutcomeCause: c.OutcomeCause, ErrorCode: c.ErrorCode,
		UserExplanation: c.UserExplanation, TechExplanation: c.TechExplanation, Status: c.Status, Sends: c.Sends, Started: c.Started, Everything: c.Everything,
	}
	row.Operation, _ = superoffice.ParseOperation(c.Operation)
	if c.RequestID == "" || c.Started.IsZero() {
		return row, errors.New("want request_id and started")
	}
	for _, text := range []string{c.RequestID, c.Node, c.App, c.Tenant, c.Principal, c.Scheme, c.Credential, c.ActorType, c.Decision, c.Reason, c.Cause, c.Replays, c.Retries, c.OutcomeCause, c.ErrorCode, c.UserExplanation, c.TechExplanation} {
		if len(text) > maxImportText {
			return row, fmt.Errorf("a text is longer than %d bytes", maxImportText)
		}
	}
	if c.Ended != nil {
		row.Ended = *c.Ended
		if row.Outcome == "" && row.Sends > 0 {
			row.Outcome = outcome.Unknown
		}
	}
	if c.Ended == nil || row.Outcome != "" {
		row.Sent = c.Started
	}
	if c.Connection != nil {
		row.Connection = *c.Connection
	}
	row.Understood = c.Connection != nil || c.Everything
	return row, c.keys(&row)
}

// keys reads the keys that the line names.
func (c *ImportedCall) keys(row *history.Row) error {
	var a superoffice.Arguments
	external := row.Operation.Arguments() == superoffice.ExternalKeys
	for _, raw := range c.Keys {
		var number int64
		var name string
		switch {
		case external && json.Unmarshal(raw, &name) == nil:
			a.ExternalKeys = append(a.ExternalKeys, name)
			// The line has what could steer a terminal as an escape, and cuts what is long.
			row.Partial = row.Partial || strings.Contains(name, `\u`) || len(name) >= outcome.MaxText
		case !external && json.Unmarshal(raw, &number) == nil && number >= math.MinInt32 && number <= math.MaxInt32:
			a.Keys = append(a.Keys, int32(number))
		default:
			return errors.New("keys: want numbers, or texts for external keys")
		}
	}
	row.Keys, row.KeyCount = history.PackKeys(&a), max(c.KeyCount, len(c.Keys))
	row.Partial = row.Partial || row.KeyCount > len(c.Keys) || external && c.ActorType == ""
	return nil
}
