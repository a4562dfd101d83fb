package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// floorJob says where Go's server and transport alone listen, and where they send calls.
type floorJob struct {
	Addr, Upstream          string // host:port
	Authorization, AppToken string
	Log                     string // a file
}

// serveFloor is what any gateway in Go costs at least: net/http's server and one round trip of its transport, two headers, and a
// line for each call. It checks nothing.
func serveFloor(raw string) error {
	var job floorJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	log, err := os.OpenFile(job.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	server := &http.Server{Addr: job.Addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+job.Upstream+r.URL.RequestURI(), r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		out.ContentLength = r.ContentLength
		out.Header = http.Header{"Authorization": {job.Authorization}, "So-Apptoken": {job.AppToken}, "Content-Type": r.Header["Content-Type"], "Accept": r.Header["Accept"]}
		resp, err := transport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		size, _ := io.Copy(w, resp.Body)
		line := make([]byte, 0, 256)
		line = began.AppendFormat(line, time.RFC3339Nano)
		line = append(line, ' ')
		line = append(line, r.RemoteAddr...)
		line = append(line, ' ')
		line = append(line, r.Method...)
		line = append(line, ' ')
		line = append(line, r.RequestURI...)
		for _, n := range []int64{int64(resp.StatusCode), size, time.Since(began).Microseconds()} {
			line = strconv.AppendInt(append(line, ' '), n, 10)
		}
		_, _ = log.Write(append(line, '\n'))
	})}
	return server.ListenAndServe()
}
