package sandbox

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// takeFault returns how a call is to fail, "" for not at all, and counts it; s.mu is held.
func (s *Sandbox) takeFault(at string, t *tenant, connection int) string {
	sw := &s.switches
	where := sw.FaultAt
	if where == "" {
		where = "agent"
	}
	if sw.Fault == "" || sw.Fault == "none" || where != at || sw.FaultTenant != "" && !strings.EqualFold(sw.FaultTenant, t.id) ||
		at == "agent" && sw.FaultConnection != 0 && sw.FaultConnection != connection {
		return ""
	}
	failure := sw.Fault
	countDown(&sw.FaultTimes, &sw.Fault)
	return failure
}

// failBefore answers with a failure before which nothing ran and reports whether there was one.
func (s *Sandbox) failBefore(w http.ResponseWriter, _ *http.Request, failure string) bool {
	retry := func() {
		if after := s.Switches().RetryAfter; after != "" {
			w.Header().Set("Retry-After", after)
		}
	}
	switch failure {
	case "401":
		w.Header().Set("WWW-Authenticate", "Basic")
		fault(w, http.StatusUnauthorized, "aspnet", "", "Authorization has been denied for this request.")
	case "403":
		fault(w, http.StatusForbidden, s.Switches().Refusal, "SuperOffice.Exceptions.SoAccessException", "Access denied.")
	case "421":
		fault(w, http.StatusMisdirectedRequest, "aspnet", "", "The tenant lives on another subdomain")
	case "429":
		retry()
		fault(w, http.StatusTooManyRequests, "aspnet", "", "Too many requests.")
	case "503":
		retry()
		fault(w, http.StatusServiceUnavailable, "aspnet", "", "The service is unavailable.")
	default:
		return false
	}
	return true
}

// failAfter answers with a failure behind which the operation may have run and reports whether there was one.
func (s *Sandbox) failAfter(w http.ResponseWriter, r *http.Request, failure string) bool {
	switch failure {
	case "cut":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"IsOk":true,"UserExplan`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "abort":
		panic(http.ErrAbortHandler)
	}
	return fail(w, r, failure)
}

// work takes as long as the ERP does and reports whether the caller is still there.
func (s *Sandbox) work(r *http.Request) bool {
	duration := s.Switches().ERPDuration
	if duration == 0 {
		return true
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
