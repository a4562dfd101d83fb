package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// caller is what one of those who call sends.
type caller struct {
	Path   string
	Header http.Header
}

// loadJob is what the load process is to do; Rate 0 is as fast as it goes.
type loadJob struct {
	URL, Host   string
	CallersFile string // a JSON list of callers, who call in turn
	Each        bool   // each caller calls once, and no more
	Want        int
	HTTP2       bool
	Connections int
	Seconds     float64
	Rate        int
}

type loadResult struct {
	Requests, Bad int
	FirstBad      string // what the first answer that was not the wanted one said
	Seconds       float64
	P50, P99      float64 // microseconds
}

// stride takes callers in an order that no cache likes; it is a prime.
const stride = 7919

// loadMemory is what a load process may use before it collects its garbage: a collection of its own
// would be measured as latency of the gateway.
const loadMemory = 512 << 20

func runLoad(in io.Reader, out io.Writer) error {
	var job loadJob
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Clean(job.CallersFile))
	if err != nil {
		return err
	}
	var callers []caller
	if err := json.Unmarshal(raw, &callers); err != nil {
		return err
	}
	long := time.Duration(job.Seconds * float64(time.Second))
	began := time.Now()
	end := began.Add(long)
	// At a fixed rate a request counts from the moment that it was due: a slow answer
	// must not hide that others waited behind it.
	due := make(chan time.Time, 1<<20)
	if job.Rate > 0 {
		go pace(due, began, end, job.Rate)
	}
	var numbers atomic.Int32
	var mu sync.Mutex
	var result loadResult
	var all []time.Duration
	var group sync.WaitGroup
	newConnection := connectionsOf(job)
	for range job.Connections {
		group.Go(func() {
			connection := newConnection()
			defer connection.close()
			var took []time.Duration
			requests, bad, firstBad := 0, 0, ""
			for {
				start := time.Now()
				n := int(numbers.Add(1))
				if job.Each {
					if n > len(callers) {
						break
					}
				} else if job.Rate > 0 {
					var ok bool
					if start, ok = <-due; !ok {
						break
					}
				} else if !start.Before(end) {
					break
				}
				which := n % len(callers)
				if !job.Each {
					which = n * stride % len(callers)
				}
				// Each call is one of its own: the same one twice at once would be refused.
				body := fmt.Sprintf(`{"ErpConnectionId":612,"InternalKeyIds":[386,%d]}`, 1000+n)
				requests++
				status, answer, err := connection.ask(callers[which], body)
				if err != nil || status != job.Want {
					bad++
					if firstBad == "" {
						firstBad = describe(status, answer, err)
					}
				}
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			result.Requests += requests
			result.Bad += bad
			if result.FirstBad == "" {
				result.FirstBad = firstBad
			}
			all = append(all, took...)
		})
	}
	group.Wait()
	result.Seconds = time.Since(began).Seconds()
	if len(all) > 0 {
		slices.Sort(all)
		result.P50, result.P99 = float64(all[len(all)/2].Microseconds()), float64(all[len(all)*99/100].Microseconds())
	}
	return json.NewEncoder(out).Encode(result)
}

// describe returns an answer's status and the reason that its problem names, or the error in its place.
func describe(status int, answer []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	var problem struct{ Reason, Detail string }
	if json.Unmarshal(answer, &problem) == nil && problem.Reason != "" {
		return fmt.Sprintf("HTTP %d %s: %s", status, problem.Reason, problem.Detail)
	}
	return fmt.Sprintf("HTTP %d: %.200q", status, answer)
}
