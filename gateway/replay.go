package gateway

import (
	"maps"

	"github.com/caddy-erpsync/caddy-erpsync/guard"
)

// replayedHeader names the call whose answer is given again.
const replayedHeader = "Erpsync-Replayed"

// replay answers with what the first call with the same Idempotency-Key was answered.
func (x *exchange) replay(kept *guard.Answer) {
	h := x.w.Header()
	maps.Copy(h, kept.Header)
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h[replayedHeader] = []string{kept.RequestID}
	x.record.Decision, x.record.Status, x.record.Replays, x.record.Bytes = "replayed", kept.Status, kept.RequestID, int64(len(kept.Body))
	x.w.WriteHeader(kept.Status)
	_, _ = x.w.Write(kept.Body)
}
