//go:build unix

package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// BenchmarkQuestions asks what a session's call asks first, and then all that it asks, in a closed loop of so many callers with 30 µs of other work each. What counts is cpu-µs/op, which
// has that work and the questions in it, and not Redis.
func BenchmarkQuestions(b *testing.B) {
	server := redistest.Start(b, "--appendonly", "no")
	s := open(b, server, "p")
	var place session.Place
	r := session.Record{App: "portal", Tenant: "Cust12345", Sealed: make([]byte, 300), Expires: time.Now().Add(time.Hour)}
	if err := s.Sessions.Add(b.Context(), place, r, 0); err != nil {
		b.Fatal(err)
	}
	keeper := claim.NewKeeper(s.Claims, "gateway")
	defer keeper.Close()
	var calls atomic.Int64
	call := func(ctx context.Context) error {
		r := of(fmt.Sprint(calls.Add(1)))
		r.Places[0].Most, r.Places[1].Most = 0, 0
		r.Scopes, r.Rate = []session.Place{{1}, {2}, {3}, {4}}, claim.Rate{Name: "rate", PerSecond: 1e6, Burst: 1000}
		if _, _, err := s.Sessions.Get(ctx, place); err != nil {
			return err
		}
		if got, err := keeper.Claim(ctx, r); err != nil || got.Refused != claim.Granted {
			return fmt.Errorf("%+v %w", got, err)
		}
		held := &claim.Held{Holding: holding(r)}
		keeper.Keep(held)
		keeper.Return(held)
		return nil
	}
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	for _, callers := range []int{1, 2, 8, 32} {
		for name, ask := range map[string]func(context.Context) error{
			"none": func(context.Context) error { return nil },
			"get":  func(ctx context.Context) error { _, _, err := s.Sessions.Get(ctx, place); return err },
			"call": call,
		} {
			b.Run(fmt.Sprint(name, "/", callers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var group sync.WaitGroup
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				b.ReportAllocs()
				_ = client.ConfigResetStat(ctx)
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
				b.ReportMetric(asked(client.Info(ctx, "commandstats").Val())/float64(b.N), "questions/op")
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// asked returns how many scripts were run.
func asked(stats string) (n float64) {
	if _, found, ok := strings.Cut(stats, "cmdstat_evalsha:calls="); ok {
		digits, _, _ := strings.Cut(found, ",")
		n, _ = strconv.ParseFloat(digits, 64)
	}
	return n
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
