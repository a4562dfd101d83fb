package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	Seconds       float64
	P50, P99      float64 // microseconds
}

// stride takes callers in an order that no cache likes; it is a prime.
const stride = 7919

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
	transport := &http.Transport{MaxIdleConnsPerHost: job.Connections, MaxConnsPerHost: job.Connections, DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!job.HTTP2)
	transport.Protocols.SetUnencryptedHTTP2(job.HTTP2)
	long := time.Duration(job.Seconds * float64(time.Second))
	began := time.Now()
	end := began.Add(long)
	// At a fixed rate a request counts from the moment that it was due: a slow answer
	// must not hide that others waited behind it.
	due := make(chan time.Time, 1<<20)
	if job.Rate > 0 {
		go func() {
			defer close(due)
			for i := 0; ; i++ {
				at := began.Add(time.Duration(i) * time.Second / time.Duration(job.Rate))
				if !at.Before(end) {
					return
				}
				time.Sleep(time.Until(at))
				due <- at
			}
		}()
	}
	var numbers atomic.Int32
	var mu sync.Mutex
	var result loadResult
	var all []time.Duration
	var group sync.WaitGroup
	for range job.Connections {
		group.Go(func() {
			var took []time.Duration
			requests, bad := 0, 0
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
				if !ask(transport, job, callers[which], body) {
					bad++
				}
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			result.Requests += requests
			result.Bad += bad
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

func ask(transport *http.Transport, job loadJob, who caller, body string) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, job.URL+who.Path, strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Host = job.Host
	for name, values := range who.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Accept", "application/json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == job.Want
}
