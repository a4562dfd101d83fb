package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// clean returns a text as every database takes it: no NUL, and nothing but UTF-8. Callers and SuperOffice say what is in it.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// cleaned returns rows whose texts every database takes. Those that do already are not copied.
func cleaned(rows []history.Row) []history.Row {
	copied := false
	for i := range rows {
		if !slices.ContainsFunc(texts(&rows[i]), func(text *string) bool { return clean(*text) != *text }) {
			continue
		}
		if !copied {
			rows, copied = slices.Clone(rows), true
		}
		for _, text := range texts(&rows[i]) {
			*text = clean(*text)
		}
	}
	return rows
}

// texts are the fields of a row that hold text.
func texts(r *history.Row) []*string {
	return []*string{
		&r.RequestID, &r.Node, &r.Environment, &r.App, &r.Tenant, &r.Principal, &r.Scheme, &r.Credential, &r.ActorType,
		&r.Decision, &r.Reason, &r.Cause, &r.Replays, &r.Retries, &r.OutcomeCause, &r.ErrorCode, &r.UserExplanation, &r.TechExplanation,
	}
}

// maxIndexed is how long a text may be of which an index is made, in bytes.
const maxIndexed = 300

// short returns a text that fits into an index; texts that differ differ still.
func short(text string) string {
	if len(text) <= maxIndexed {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToValidUTF8(text[:maxIndexed/2], "") + "… " + hex.EncodeToString(sum[:])
}
