package auditfile

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/logging"
)

// counted counts the writes to a file.
type counted struct {
	io.WriteCloser
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.WriteCloser.Write(p)
}

// BenchmarkLines writes the two lines of calls, each of 500 bytes, to a file that Caddy rolls. An operation is a call.
func BenchmarkLines(b *testing.B) {
	pad := strings.Repeat("x", 500-len(started(""))/2-len(ended(""))/2)
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "audit.log")
			var writes atomic.Int64
			w, err := open(disk{path: path, rolls: true, open: func(roll bool) (io.WriteCloser, error) {
				to, err := Writer{logging.FileWriter{Filename: path}}.open(roll)
				return counted{to, &writes}, err
			}}, openFiles)
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			lines := []string{started(pad), ended(pad)}
			b.ReportAllocs()
			var all sync.WaitGroup
			b.ResetTimer()
			for caller := range callers {
				all.Go(func() {
					for i := caller; i < b.N; i += callers {
						for _, line := range lines {
							if _, err := io.WriteString(w, line); err != nil {
								b.Error(err)
							}
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(writes.Load())/float64(2*b.N), "writes/line")
		})
	}
}
