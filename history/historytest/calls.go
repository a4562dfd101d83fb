package historytest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// listed returns the request ids of all pages.
func Listed(t testing.TB, s history.Store, filter history.CallFilter) (ids []string) {
	t.Helper()
	for {
		page, err := s.Calls(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Calls) > filter.Size() {
			t.Fatalf("%d calls", len(page.Calls))
		}
		for _, c := range page.Calls {
			ids = append(ids, c.RequestID)
		}
		if filter.Before = page.Next; filter.Before == 0 {
			return ids
		}
	}
}

func callsAreFoundByWhatIsKnownOfThem(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	a, b := c.Call(superoffice.ForceResync, outcome.OK, 612, 1, 2), c.Call(superoffice.ForceResync, outcome.Error, 612, 2, 3)
	crm, all := c.Call(superoffice.ForceResync, outcome.OK, -1, 9), c.Call(superoffice.SyncAll, outcome.Fault, 0)
	external := c.Call(superoffice.ForceResyncExternal, outcome.Unknown, 612, "2", "K 7")
	part := c.Call(superoffice.ForceResync, outcome.OK, 612, 1)
	part.Partial, part.KeyCount = true, 200
	open := c.Call(superoffice.ForceResync, outcome.OK, 612, 4)
	open.Ended, open.Outcome = time.Time{}, ""
	refused := c.Call(superoffice.ForceResync, "", 0)
	refused.Decision, refused.Reason, refused.Understood, refused.Everything, refused.Keys = "refused", "body_not_understood", false, false, nil
	b.Tenant, b.App, b.Principal, b.Environment = "Cust2", "portal", "tove", "stage"
	Write(t, s, part, a, refused, b, crm, all, external, open) // not as they began
	connection := func(n int32) *int32 { return &n }
	for name, c := range map[string]struct {
		filter history.CallFilter
		want   []history.Row
	}{
		"all":                      {history.CallFilter{}, []history.Row{refused, open, part, external, all, crm, b, a}},
		"a tenant":                 {history.CallFilter{Tenant: "Cust2"}, []history.Row{b}},
		"an app":                   {history.CallFilter{App: "portal"}, []history.Row{b}},
		"an environment":           {history.CallFilter{Environment: "stage"}, []history.Row{b}},
		"a person":                 {history.CallFilter{Principal: "tove"}, []history.Row{b}},
		"a request":                {history.CallFilter{RequestID: a.RequestID}, []history.Row{a}},
		"a connection":             {history.CallFilter{Connection: connection(612), Tenant: "Cust12345"}, []history.Row{open, part, external, a}},
		"the CRM":                  {history.CallFilter{Connection: connection(0)}, []history.Row{all, crm}},
		"an outcome":               {history.CallFilter{Outcomes: []outcome.Class{outcome.Fault}}, []history.Row{all}},
		"what failed":              {history.CallFilter{Outcomes: []outcome.Class{outcome.Fault, outcome.Error, outcome.Unknown}}, []history.Row{external, all, b}},
		"what succeeded or not":    {history.CallFilter{Outcomes: []outcome.Class{outcome.Fault, outcome.OK}}, []history.Row{part, all, crm, a}},
		"refused":                  {history.CallFilter{Decision: "refused"}, []history.Row{refused}},
		"a reason":                 {history.CallFilter{Reason: "body_not_understood"}, []history.Row{refused}},
		"from":                     {history.CallFilter{From: part.Started}, []history.Row{refused, open, part}},
		"to":                       {history.CallFilter{To: crm.Started}, []history.Row{b, a}},
		"a key":                    {history.CallFilter{Key: "2"}, []history.Row{external, b, a}},
		"a key or everything":      {history.CallFilter{Key: "2", OrEverything: true}, []history.Row{external, all, b, a}},
		"a text":                   {history.CallFilter{Key: "K 7"}, []history.Row{external}},
		"a key of nobody":          {history.CallFilter{Key: "77"}, nil},
		"no number as we write it": {history.CallFilter{Key: "02"}, nil},
	} {
		var want []string
		for i := range c.want {
			want = append(want, c.want[i].RequestID)
		}
		for _, limit := range []int{0, 1, 3} {
			c.filter.Limit = limit
			if got := Listed(t, s, c.filter); !slices.Equal(got, want) {
				t.Errorf("%s by %d: %v, want %v", name, limit, got, want)
			}
		}
	}
	page, err := s.Calls(t.Context(), history.CallFilter{Key: "2"})
	if err != nil || page.Incomplete != 1 || page.Next != 0 || page.Bounded {
		t.Errorf("%+v, %v", page, err)
	}
}

func aCallIsReadAsItWasWritten(t *testing.T, fresh New) {
	s := fresh(t).Open(t, ThisNode)
	at := time.Now().Truncate(time.Microsecond)
	r := history.Row{
		RequestID: "a", Node: "n", Environment: "online", App: "erp", Tenant: "Cust1", Principal: "p", Scheme: "jwt", Credential: "system soticket",
		Operation: superoffice.ForceResyncExternal, Understood: true, Connection: 612, Keys: history.PackKeys(&superoffice.Arguments{ExternalKeys: []string{"K"}}), KeyCount: 1, Partial: true,
		ActorType: "Customer", Stated: 3, Decision: "allowed", Reason: "r", Cause: "c", Replays: "x", Retries: "y", Outcome: outcome.Error, OutcomeCause: "oc", ErrorCode: "E1",
		UserExplanation: "u", TechExplanation: "t", Status: 200, Sends: 2, Started: at, Sent: at.Add(time.Second), Ended: at.Add(time.Minute),
	}
	Write(t, s, r)
	for _, without := range []bool{false, true} {
		page, err := s.Calls(t.Context(), history.CallFilter{WithoutKeys: without})
		if err != nil || len(page.Calls) != 1 || page.Calls[0].ID == 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		want := r
		if without {
			want.Keys = nil
		}
		got := page.Calls[0].Row
		if !got.Started.Equal(want.Started) || !got.Sent.Equal(want.Sent) || !got.Ended.Equal(want.Ended) {
			t.Errorf("%+v", got)
		}
		got.Started, got.Sent, got.Ended = want.Started, want.Sent, want.Ended
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v\n%+v", got, want)
		}
	}
}

func aPageBehindACallThatIsGoneIsAnError(t *testing.T, fresh New) {
	s, c := fresh(t).Open(t, ThisNode), NewCalls()
	Write(t, s, c.Call(superoffice.ForceResync, outcome.OK, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 1), c.Call(superoffice.ForceResync, outcome.OK, 612, 1))
	page, err := s.Calls(t.Context(), history.CallFilter{Limit: 1})
	if err != nil || page.Next == 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	if _, err := s.Forget(t.Context(), history.ForgetFilter{Tenant: "Cust12345"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Calls(t.Context(), history.CallFilter{Before: page.Next}); !errors.Is(err, history.ErrNoCall) {
		t.Errorf("an end that is none: %v", err)
	}
}
