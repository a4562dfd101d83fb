package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// conditions gathers what a question asks for.
type conditions struct {
	texts []string
	args  []any
}

// add adds a condition with its arguments.
func (c *conditions) add(condition string, args ...any) {
	c.texts, c.args = append(c.texts, condition), append(c.args, args...)
}

// equal adds a condition unless there is nothing to compare with.
func (c *conditions) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", clean(value))
	}
}

// where returns the conditions after WHERE; "" if there are none.
func (c *conditions) where() string {
	if len(c.texts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.texts, " AND ")
}

// Calls is history.Store's.
func (s *Store) Calls(ctx context.Context, filter history.CallFilter) (page history.Page, err error) {
	var c conditions
	c.equal("request_id", filter.RequestID)
	c.equal("tenant", filter.Tenant)
	c.equal("environment", filter.Environment)
	c.equal("app", filter.App)
	c.equal("principal", filter.Principal)
	c.equal("decision", filter.Decision)
	c.equal("reason", filter.Reason)
	switch {
	case filter.Connection == nil:
	case *filter.Connection > 0:
		c.add("connection = ?", *filter.Connection)
	default:
		c.add("connection <= 0 AND understood")
	}
	if len(filter.Outcomes) > 0 {
		if !slices.ContainsFunc(filter.Outcomes, func(class outcome.Class) bool { return !history.Opens(class) }) {
			c.add(failedOutcome) // so that their index is used
		}
		c.add("outcome IN ("+placeholders(len(filter.Outcomes))+")", anys(filter.Outcomes)...)
	}
	if !filter.From.IsZero() {
		c.add("started >= ?", filter.From.UnixMicro())
	}
	if !filter.To.IsZero() {
		c.add("started < ?", filter.To.UnixMicro())
	}
	size, most := filter.Size(), filter.Size()
	if filter.Key != "" {
		most = cmp.Or(s.MostScanned, history.MaxScanned)
	}
	columns := callColumns
	if filter.WithoutKeys && filter.Key == "" {
		columns = strings.Replace(columns, " keys,", " NULL,", 1)
	}
	err = s.Read(ctx, func(tx *Tx) (err error) {
		if filter.Before != 0 {
			var started int64
			err := tx.QueryRow("SELECT started FROM calls WHERE id = ?", filter.Before).Scan(&started)
			if errors.Is(err, sql.ErrNoRows) {
				return history.ErrNoCall
			}
			if err != nil {
				return err
			}
			c.add("(started, id) < (?, ?)", started, filter.Before)
		}
		rows, err := tx.Query(fmt.Sprintf("SELECT id, %s FROM calls%s ORDER BY started DESC, id DESC LIMIT %d", columns, c.where(), most+1), c.args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		p := pager{filter: &filter, size: size, most: most, named: newNamed(clean(filter.Key))}
		for rows.Next() {
			var call history.Call
			if err := scanCall(&call, rows.Scan); err != nil {
				return err
			}
			if more, err := p.add(call); err != nil || !more {
				page = p.page
				return err
			}
		}
		page = p.page
		return rows.Err()
	})
	return page, err
}

// pager makes a page of the calls that are read.
type pager struct {
	filter     *history.CallFilter
	size, most int
	named      named

	page    history.Page
	scanned int
	last    int64
}

// add adds a call if it is wanted, and reports whether there is room for another.
func (p *pager) add(call history.Call) (more bool, err error) {
	if p.scanned == p.most || len(p.page.Calls) == p.size {
		p.page.Next, p.page.Bounded = p.last, len(p.page.Calls) < p.size
		return false, nil
	}
	p.scanned++
	p.last = call.ID
	if p.filter.Key != "" {
		found, err := p.named.by(&call.Row, p.filter.OrEverything)
		if err != nil {
			return false, err
		}
		if !found {
			if call.Partial {
				p.page.Incomplete++
			}
			return true, nil
		}
	}
	if p.filter.WithoutKeys {
		call.Keys = nil
	}
	p.page.Calls = append(p.page.Calls, call)
	return true, nil
}

func anys[T ~string](texts []T) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = string(text)
	}
	return all
}

// scanCall reads id and callColumns.
func scanCall(call *history.Call, scan func(...any) error) error {
	r := &call.Row
	var run, stated, started int64
	var operation, class string
	var sent, ended sql.NullInt64
	err := scan(&call.ID, &r.RequestID, &run, &r.Node, &r.Environment, &r.App, &r.Tenant, &r.Principal, &r.Scheme, &r.Credential, &operation, &r.Understood, &r.Connection, &r.Everything, &r.Keys, &r.KeyCount, &r.Partial,
		&r.ActorType, &stated, &r.Decision, &r.Reason, &r.Cause, &r.Replays, &r.Retries, &class, &r.OutcomeCause, &r.ErrorCode, &r.UserExplanation, &r.TechExplanation, &r.Status, &r.Sends, &started, &sent, &ended)
	r.Operation, _ = superoffice.ParseOperation(operation)
	r.Stated, r.Outcome, r.Started, r.Sent, r.Ended = superoffice.Properties(stated), outcome.Class(class), time.UnixMicro(started), timeOf(sent), timeOf(ended)
	return err
}

func timeOf(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64)
}

// named finds a key in the keys of calls.
type named struct {
	text     string
	number   int32
	isNumber bool
}

func newNamed(key string) named {
	number, err := strconv.ParseInt(key, 10, 32)
	return named{key, int32(number), err == nil && strconv.FormatInt(number, 10) == key}
}

func (n named) by(r *history.Row, orEverything bool) (bool, error) {
	if r.Everything || !r.Understood || len(r.Keys) == 0 {
		return r.Everything && orEverything, nil
	}
	internal, external, err := history.UnpackKeys(r.Keys)
	if err != nil {
		return false, fmt.Errorf("call %s: %w", r.RequestID, err)
	}
	return n.isNumber && slices.Contains(internal, n.number) || slices.Contains(external, n.text), nil
}
