package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// evictionLasts is how long evictions need attention after the last one was found.
const evictionLasts = time.Hour

// troubles returns what is wrong with what the sites share.
func (s *Sites) troubles() (found []Trouble) {
	var states []*gateway.SharedState
	var journals []*history.Journal
	for _, site := range s.list() {
		if state := site.State(); !slices.Contains(states, state) {
			states = append(states, state)
			found = append(found, storeTroubles(state.StoreHealth(), site.Config().StrictStore)...)
			found = append(found, auditTroubles(state.AuditHealth(), site.Config().AuditRequired)...)
		}
		if journal := site.Platform().History; journal != nil && !slices.Contains(journals, journal) {
			journals = append(journals, journal)
			found = append(found, historyTroubles(journal.Health())...)
		}
	}
	return append(found, s.noticeTroubles(time.Now())...)
}

func storeTroubles(h gateway.StoreHealth, strict bool) (found []Trouble) {
	means := "people get 503 session_store_unavailable, and so does a call with an Idempotency-Key (store_unavailable); each gateway works for itself: the same call may run once on each"
	if strict {
		means = "people get 503 session_store_unavailable, resyncs 503 store_unavailable"
	}
	cause := ""
	if h.Cause != nil {
		cause = h.Cause.Error()
	}
	switch {
	case !h.ReadsFail.IsZero():
		found = append(found, Trouble{"store_unavailable", when(h.ReadsFail), cause, means, "look at the store under `store redis`"})
	case !h.WritesFail.IsZero():
		means = "nobody can sign in, a revocation is not taken, a call with an Idempotency-Key that was not used before gets 503 store_unavailable; each gateway works for itself: the same call may run once on each"
		if strict {
			means = "nobody can sign in, a revocation is not taken, resyncs get 503 store_unavailable"
		}
		found = append(found, Trouble{"store_not_written", when(h.WritesFail), cause, means, "look at the store's memory (maxmemory), its disk, and whether it is the master"})
	}
	if time.Since(h.EvictedLast) < evictionLasts {
		found = append(found, Trouble{"store_evicts", when(h.EvictedLast), "maxmemory-policy " + h.Policy, gateway.EvictionBreaks, "set maxmemory-policy noeviction, and give the store more memory"})
	}
	return found
}

func auditTroubles(h gateway.AuditHealth, required bool) []Trouble {
	if h.Fails.IsZero() {
		return nil
	}
	means := fmt.Sprintf("calls run and leave no trace; %d lines were lost since this gateway began", h.Lost)
	if required {
		means = "calls are refused with 503 audit_unavailable, and nothing is sent"
	}
	return []Trouble{{string(auth.AuditUnavailable), when(h.Fails), h.Cause.Error(), means, auth.AuditUnavailable.Remedy()}}
}

// lossLasts is how long rows that were lost need attention after the last one was.
const lossLasts = time.Hour

func historyTroubles(h history.Health) []Trouble {
	lost := fmt.Sprintf("%d rows were lost since this gateway began; the audit log has the calls", h.Lost)
	switch {
	case !h.Fails.IsZero():
		return []Trouble{{"history_not_written", when(h.Fails), h.Cause.Error(), "calls go on, and what they came to waits to be written; " + lost, "look at the disk and the file under `history`: is it full, locked, or gone. Afterwards: caddy erpsync history import <audit files>"}}
	case h.Lost > 0 && time.Since(h.LostLast) < lossLasts:
		return []Trouble{{"history_incomplete", when(h.LostLast), "", lost, "look in Caddy's log for why, and fill the gap: caddy erpsync history import <audit files>"}}
	}
	return nil
}
