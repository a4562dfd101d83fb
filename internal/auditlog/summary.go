package auditlog

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// listed is how many of the slowest calls and most frequent codes a summary names.
const listed = 10

// Summary sums many calls up in a few lines.
type Summary struct {
	Calls      int            `json:"calls"`
	From       time.Time      `json:"from,omitzero"`
	To         time.Time      `json:"to,omitzero"`
	Outcomes   map[string]int `json:"outcomes"`
	Reasons    map[string]int `json:"reasons"`
	ErrorCodes map[string]int `json:"error_codes"`
	Slowest    []slow         `json:"slowest"`
	// Unfinished are calls that were about to be sent and whose end no file tells: they
	// are still running, or the process was killed, and then they may have run.
	Unfinished []unfinished `json:"unfinished"`
}

type slow struct {
	Seconds   float64 `json:"seconds"`
	RequestID string  `json:"request_id"`
	Tenant    string  `json:"tenant,omitempty"`
	Operation string  `json:"operation"`
	Outcome   string  `json:"outcome"`
}

type unfinished struct {
	Started   time.Time `json:"started"`
	RequestID string    `json:"request_id"`
	Tenant    string    `json:"tenant,omitempty"`
	Operation string    `json:"operation"`
	Node      string    `json:"node,omitempty"`

	Principal    string `json:"principal,omitempty"`
	ConnectionID *int32 `json:"connection_id,omitempty"`
	Keys         int    `json:"keys"`
	ResyncAll    bool   `json:"resync_all,omitempty"`
}

func newSummary() *Summary {
	return &Summary{Outcomes: map[string]int{}, Reasons: map[string]int{}, ErrorCodes: map[string]int{}}
}

func (s *Summary) add(l *Line) {
	s.Calls++
	if s.From.IsZero() || l.Time.Before(s.From) {
		s.From = l.Time
	}
	if l.Time.After(s.To) {
		s.To = l.Time
	}
	if l.Outcome != "" {
		s.Outcomes[l.Outcome]++
	}
	if l.Reason != "" {
		s.Reasons[l.Reason]++
	}
	if l.ErrorCode != "" {
		s.ErrorCodes[l.ErrorCode]++
	}
	s.Slowest = append(s.Slowest, slow{l.Duration, l.RequestID, l.Tenant, l.Operation, cmp.Or(l.Outcome, l.Reason)})
	slices.SortStableFunc(s.Slowest, func(a, b slow) int { return cmp.Compare(b.Seconds, a.Seconds) })
	s.Slowest = s.Slowest[:min(len(s.Slowest), listed)]
}

func (s *Summary) write(out io.Writer, wide bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d calls", s.Calls)
	if s.Calls > 0 {
		fmt.Fprintf(w, ", %s to %s", s.From.Format(time.DateTime), s.To.Format(time.DateTime))
	}
	fmt.Fprintln(w)
	if len(s.Outcomes) > 0 {
		fmt.Fprintln(w, "\nOutcome\tCalls")
		for _, class := range outcome.Classes() {
			if n := s.Outcomes[string(class)]; n > 0 {
				fmt.Fprintf(w, "%s\t%d\n", class, n)
			}
		}
	}
	counts(w, "Refused or failed, by reason", s.Reasons, len(s.Reasons))
	counts(w, "Error code", s.ErrorCodes, listed)
	if err := w.Flush(); err != nil {
		return err
	}
	if s.Outcomes[string(outcome.Accepted)] > 0 {
		fmt.Fprintf(out, "\naccepted: %s\n", outcome.Accepted.Explanation())
	}
	if len(s.Slowest) > 0 {
		fmt.Fprintln(out)
		table := command.Table{Wide: wide, Columns: []command.Column{{Head: "Slowest"}, {Head: "Tenant", Least: 10}, {Head: "Operation", Least: 16}, {Head: "Outcome", Least: 13}, {Head: "Request"}}}
		for _, c := range s.Slowest {
			table.Row(fmt.Sprintf("%.3fs", c.Seconds), c.Tenant, c.Operation, c.Outcome, c.RequestID)
		}
		if err := table.Write(out); err != nil {
			return err
		}
	}
	if len(s.Unfinished) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nNo end told (running still, or the gateway was killed and they may have run)")
	table := command.Table{Wide: wide, Columns: []command.Column{{Head: "Started"}, {Head: "Tenant", Least: 10}, {Head: "Operation", Least: 16}, {Head: "Request"}}}
	for _, c := range s.Unfinished {
		table.Row(c.Started.Format(time.DateTime), c.Tenant, c.Operation, c.RequestID)
	}
	return table.Write(out)
}

// counts writes what is counted, the most frequent first.
func counts(w io.Writer, title string, counted map[string]int, most int) {
	if len(counted) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tCalls\n", title)
	names := slices.SortedFunc(maps.Keys(counted), func(a, b string) int {
		return cmp.Or(cmp.Compare(counted[b], counted[a]), cmp.Compare(a, b))
	})
	for _, name := range names[:min(len(names), most)] {
		fmt.Fprintf(w, "%s\t%d\n", command.Printable(name), counted[name])
	}
}
