package historytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// aMillionCalls writes a million calls of ten thousand tenants within 30 days, one in fifty of which failed.
func aMillionCalls(b *testing.B, s *Store, now time.Time) {
	b.Helper()
	const tenants, calls, group = 10_000, 1_000_000, 10_000
	began := time.Now()
	keys := history.PackKeys(&superoffice.Arguments{Keys: []int32{386, 230, 231, 400, 1024}})
	rows := make([]history.Row, 0, group)
	for i := range calls {
		class := outcome.OK
		if i%50 == 0 {
			class = outcome.Error
		}
		// A group is of a hundred tenants: it has 300,000 days to count in all, whatever the order.
		tenant, call := i/(calls/tenants), i%(calls/tenants)
		r := Over(Began(fmt.Sprintf("%032x", i), now.Add(-30*24*time.Hour).Add(time.Duration(call*7200+i%7200)*(30*24*time.Hour/(100*7200)))), class, time.Duration(i%4000)*time.Millisecond)
		r.Tenant, r.Keys, r.KeyCount = fmt.Sprintf("Cust%d", 10_000+tenant), keys, 5
		if rows = append(rows, r); len(rows) == group {
			Write(b, s, rows...)
			rows = rows[:0]
		}
	}
	b.Logf("written in %v", time.Since(began).Round(time.Millisecond))
}

// BenchmarkCalls writes calls of a hundred tenants in groups, as a gateway that is busy has them: each when it is over, or before
// it is sent and when it is over.
func BenchmarkCalls(b *testing.B, fresh New) {
	keys := history.PackKeys(&superoffice.Arguments{Keys: []int32{386, 230}})
	for _, rows := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d_rows", rows), func(b *testing.B) {
			s, n := fresh(b).Open(b, ThisNode), 0
			group := make([]history.Row, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				began := Began(fmt.Sprintf("%032x", n), time.Now())
				began.Tenant, began.Keys, began.KeyCount = fmt.Sprintf("Cust%d", 10_000+n%100), keys, 2
				if rows > 1 {
					group = append(group, began)
				}
				n++
				if group = append(group, Over(began, outcome.OK, time.Millisecond)); len(group) == cap(group) {
					Write(b, s, group...)
					group = group[:0]
				}
			}
		})
	}
}

// BenchmarkReadsOfAMillionCalls asks what the console and the commands ask, of a million calls of ten thousand tenants.
func BenchmarkReadsOfAMillionCalls(b *testing.B, fresh New) {
	s, now := fresh(b).Open(b, ThisNode), time.Now()
	aMillionCalls(b, s, now)
	month := history.DayOf(now).AddDate(0, 0, -29)
	for _, c := range []struct {
		name string
		ask  func() error
	}{
		{"a page of tenants by name", func() error {
			_, err := s.Tenants(b.Context(), history.TenantFilter{Now: now, Offset: 5000})
			return err
		}},
		{"a page of tenants by last failure", func() error {
			_, err := s.Tenants(b.Context(), history.TenantFilter{Now: now, Order: history.ByLastFailure})
			return err
		}},
		{"a page of tenants that fail", func() error {
			_, err := s.Tenants(b.Context(), history.TenantFilter{Now: now, Failing: true})
			return err
		}},
		{"a search for tenants", func() error {
			_, err := s.Tenants(b.Context(), history.TenantFilter{Now: now, Search: "999"})
			return err
		}},
		{"a page of calls", func() error { _, err := s.Calls(b.Context(), history.CallFilter{WithoutKeys: true}); return err }},
		{"a page of a tenant's calls", func() error { _, err := s.Calls(b.Context(), history.CallFilter{Tenant: "Cust17919"}); return err }},
		{"a page of failed calls", func() error {
			_, err := s.Calls(b.Context(), history.CallFilter{Outcomes: []outcome.Class{outcome.Error, outcome.Fault}})
			return err
		}},
		{"one call", func() error {
			_, err := s.Calls(b.Context(), history.CallFilter{RequestID: fmt.Sprintf("%032x", 77777)})
			return err
		}},
		{"a key in a tenant", func() error {
			_, err := s.Calls(b.Context(), history.CallFilter{Tenant: "Cust17919", Key: "386"})
			return err
		}},
		{"a key that nobody has, anywhere", func() error { _, err := s.Calls(b.Context(), history.CallFilter{Key: "77"}); return err }},
		{"a tenant's days", func() error {
			_, err := s.Usage(b.Context(), history.UsageFilter{Tenant: "Cust17919", From: month})
			return err
		}},
		{"a tenant's month", func() error {
			_, err := s.Usage(b.Context(), history.UsageFilter{Tenant: "Cust17919", From: month, Whole: true})
			return err
		}},
		{"everybody's month", func() error {
			_, err := s.Usage(b.Context(), history.UsageFilter{From: month, Whole: true})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("forget a tenant", func(b *testing.B) {
		n := 0
		for b.Loop() {
			if done, err := s.Forget(b.Context(), history.ForgetFilter{Tenant: fmt.Sprintf("Cust%d", 10_000+n)}); err != nil || done.Calls == 0 && n < 10_000 {
				b.Fatal(done, err)
			}
			n++
		}
	})
}

// BenchmarkASuccessOverManyKeys closes a hundred thousand keys that fail with one call.
func BenchmarkASuccessOverManyKeys(b *testing.B, fresh New) {
	s := fresh(b).Open(b, ThisNode)
	const keys = 100_000
	named := make([]int32, keys)
	for i := range named {
		named[i] = int32(3 * i)
	}
	packed, n := history.PackKeys(&superoffice.Arguments{Keys: named}), 0
	call := func(class outcome.Class) history.Row {
		n++
		r := Over(Began(fmt.Sprint(n), time.Now().Add(time.Duration(n)*time.Hour)), class, time.Second)
		r.Keys, r.KeyCount = packed, keys
		return r
	}
	for b.Loop() {
		b.StopTimer()
		before := time.Now()
		Write(b, s, call(outcome.Error))
		opened := time.Since(before)
		b.StartTimer()
		Write(b, s, call(outcome.OK))
		b.ReportMetric(float64(opened.Milliseconds()), "ms/opening")
	}
	if found := Failures(b, s, history.Filter{}); len(found) != 0 {
		b.Errorf("%+v", found)
	}
}
