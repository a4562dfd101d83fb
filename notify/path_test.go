package notify

import (
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// BenchmarkEnded is what a call pays for notices.
func BenchmarkEnded(b *testing.B) {
	for _, class := range []outcome.Class{outcome.OK, outcome.Error} {
		b.Run(string(class), func(b *testing.B) {
			n, r := newTestNotifier(), record("Cust1", 612, 1, class)
			r.Started = time.Now()
			b.ReportAllocs()
			for b.Loop() {
				n.Ended(r)
			}
		})
	}
}
