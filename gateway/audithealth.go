package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// AuditHealth is what is known of the audit log.
type AuditHealth struct {
	// Fails is since when lines cannot be written; zero: the last one was.
	Fails time.Time
	Cause error
	// Lost is how many lines were not written since this process began.
	Lost uint64
}

// auditHealth keeps an AuditHealth.
type auditHealth struct {
	well  atomic.Bool // the last line was written
	mu    sync.Mutex
	known AuditHealth
}

// AuditHealth returns what is known of the audit log.
func (s *SharedState) AuditHealth() AuditHealth {
	s.audit.mu.Lock()
	defer s.audit.mu.Unlock()
	return s.audit.known
}

// auditWritten records whether an audit line could be written.
func (g *Gateway) auditWritten(err error) {
	h := &g.state.audit
	if err == nil && h.well.Load() { // as nearly always
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	failed, lost := h.known.Fails, h.known.Lost
	if h.well.Store(err == nil); err == nil {
		h.known.Fails, h.known.Cause = time.Time{}, nil
		g.platform.Metrics.Answered(outcome.AuditFile, true)
		if !failed.IsZero() {
			g.platform.Logger.Info("audit lines can be written again", zap.Uint64("lost", lost), zap.Duration("after", time.Since(failed)))
		}
		return
	}
	h.known.Cause = err
	h.known.Lost++
	g.platform.Metrics.AuditLineLost()
	if failed.IsZero() {
		h.known.Fails = time.Now()
		g.platform.Metrics.Answered(outcome.AuditFile, false)
		g.platform.Logger.Error("audit lines cannot be written", zap.Bool("refused", g.config.AuditRequired), zap.Error(err))
	}
}

// unaudited refuses a call whose first line could not be written, where every call has to be proved.
func (g *Gateway) unaudited(record *outcome.Record) *auth.Refusal {
	if !g.config.AuditRequired || record.Unwritten == nil {
		return nil
	}
	return auth.Refuse(auth.AuditUnavailable, record.Unwritten).After(unwrittenRetry)
}

const unwrittenRetry = 5 * time.Second

// RecordView writes the audit line of a view of the console, and returns why it could not be written.
func (g *Gateway) RecordView(v *outcome.View) error {
	return outcome.AuditLog{Logger: g.platform.Audit, Written: g.auditWritten}.View(v)
}
