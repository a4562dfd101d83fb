package gateway

import (
	"maps"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/guard"
)

// replayedHeader names the call whose answer is given again.
const replayedHeader = "Erpsync-Replayed"

// replay answers with what the first call with the same Idempotency-Key was answered.
func (x *exchange) replay(kept *guard.Answer) {
	x.w.Header()[replayedHeader] = []string{kept.RequestID}
	x.record.Decision, x.record.Status, x.record.Replays, x.record.Bytes = "replayed", kept.Status, kept.RequestID, int64(len(kept.Body))
	writeKept(x.w, kept)
}

// writeKept writes an answer that was kept, as its first caller got it.
func writeKept(w http.ResponseWriter, kept *guard.Answer) {
	h := w.Header()
	maps.Copy(h, kept.Header)
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(kept.Status)
	_, _ = w.Write(kept.Body)
}
