//go:build unix

package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// BenchmarkQuestions asks what a session's call asks first, in a closed loop of so many callers with 30 µs of other work each. What counts is cpu-µs/op, which
// has that work and the questions in it, and not Redis.
func BenchmarkQuestions(b *testing.B) {
	server := redistest.Start(b, "--appendonly", "no")
	s := open(b, server, "p")
	var place session.Place
	r := session.Record{App: "portal", Tenant: "Cust12345", Sealed: make([]byte, 300), Expires: time.Now().Add(time.Hour)}
	if err := s.Sessions.Add(b.Context(), place, r, 0); err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 2, 8, 32} {
		for name, ask := range map[string]func(context.Context) error{
			"none": func(context.Context) error { return nil },
			"get":  func(ctx context.Context) error { _, _, err := s.Sessions.Get(ctx, place); return err },
		} {
			b.Run(fmt.Sprint(name, "/", callers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var group sync.WaitGroup
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				b.ReportAllocs()
				before := cpuTime()
				for range callers {
					group.Go(func() {
						for left.Add(-1) >= 0 {
							if err := ask(ctx); err != nil {
								b.Error(err)
								return
							}
							for ends := time.Now().Add(30 * time.Microsecond); time.Now().Before(ends); { //nolint:revive // work
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkClaim asks for what a call of a person wants of a store, and gives it back.
func BenchmarkClaim(b *testing.B) {
	server := redistest.Start(b, "--appendonly", "no")
	s := open(b, server, "p")
	r := of("0123456789abcdef")
	r.Scopes = []session.Place{{1}, {2}, {3}, {4}}
	r.Rate = claim.Rate{Name: "rate", PerSecond: 1e6, Burst: 1000}
	r.Lease, r.Unended = "a lease of the same call", "one that has not ended"
	held := []claim.Holding{holding(r)}
	b.Run("claim", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, err := s.Claims.Claim(b.Context(), "gateway", r); err != nil || got.Refused != claim.Granted {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("return", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Claims.Return(b.Context(), "gateway", held); err != nil {
				b.Fatal(err)
			}
		}
	})
}
