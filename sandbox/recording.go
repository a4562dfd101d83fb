package sandbox

import (
	"net/http"
	"slices"
)

// Recorded is a request as it arrived at the WebAPI.
type Recorded struct {
	Method string
	URI    string
	Header http.Header
	Body   []byte
}

// Run is an operation that the agent carried out.
type Run struct {
	Tenant, Operation, Who string
	Connection             int
	Keys                   []int
}

const maxRecorded = 1000

func (s *Sandbox) record(r *http.Request, body []byte) {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) < maxRecorded {
		s.requests = append(s.requests, Recorded{Method: r.Method, URI: r.RequestURI, Header: header, Body: body})
	}
}

// Requests returns the WebAPI requests that arrived, oldest first, at most a thousand.
func (s *Sandbox) Requests() []Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Runs returns the operations that the agent carried out.
func (s *Sandbox) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// Forget drops what was recorded and carried out.
func (s *Sandbox) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.runs = nil, nil
}
