package erpsync

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

const problemType = "https://github.com/caddy-erpsync/caddy-erpsync/blob/main/README.md#"

// writeProblem writes a refusal as RFC 9457 has it.
func writeProblem(w http.ResponseWriter, requestID string, refusal *auth.Refusal) {
	body, err := json.Marshal(struct {
		Type     string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail"`
		Reason   string `json:"reason"`
		Pointer  string `json:"pointer,omitempty"`
		SignIn   string `json:"sign_in,omitempty"`
		Approve  string `json:"approve,omitempty"`
		Running  string `json:"running,omitempty"`
		Instance string `json:"instance"`
	}{
		problemType + string(refusal.Reason), strings.ReplaceAll(string(refusal.Reason), "_", " "), refusal.Status, refusal.Detail,
		string(refusal.Reason), refusal.Pointer, refusal.SignIn, refusal.Approve, refusal.Running, requestID,
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if refusal.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if refusal.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
