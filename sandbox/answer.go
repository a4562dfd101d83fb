package sandbox

import (
	"io"
	"net/http"
)

// Answer is what the agent answers in place of its own.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	// Hold keeps the answer back until it is closed or the caller leaves.
	Hold <-chan struct{}
	// Abort closes the connection after the body instead of ending the answer.
	Abort bool
}

// Answer has the agent answer what f returns in place of its own; nil lets it be.
func (s *Sandbox) Answer(f func(operation string, connection int) *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (a *Answer) write(w http.ResponseWriter, r *http.Request) {
	if a.Hold != nil {
		select {
		case <-a.Hold:
		case <-r.Context().Done():
			return
		}
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Abort && a.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if w.Header().Get("Content-Type") == "" && a.Body != "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, a.Body)
	if a.Abort {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
