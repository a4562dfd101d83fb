package auditlog

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// unwrapper takes off what log collectors put around a line of Caddy's: Docker's json-file, CRI's prefix,
// journald's JSON export, and whatever stands before the JSON in journalctl's own or Compose's output. One wraps a
// long line in several of its own: those are put together.
type unwrapper struct {
	partial []byte
}

// maxWrapped is how many wrappings lie around each other: a pod's line that journald took too.
const maxWrapped = 3

// next returns the line of Caddy's that raw holds; ok is false where raw is a part of one whose end has not come yet.
func (u *unwrapper) next(raw []byte) (line []byte, ok bool) {
	for range maxWrapped {
		inner, whole, wrapped := unwrap(raw)
		if !wrapped {
			break
		}
		if !whole || len(u.partial) > 0 {
			u.partial = append(u.partial, inner...)
			if !whole && len(u.partial) < maxLine {
				return nil, false
			}
			inner, u.partial = u.partial, nil
		}
		raw = inner
	}
	return bytes.TrimRight(raw, "\r\n"), true
}

// cri is the prefix of the Kubernetes runtimes: a time, a stream, and whether the line is whole (F) or a part (P).
var cri = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) ([FP])(?::\S*)? `)

// unwrap takes one wrapping off.
func unwrap(raw []byte) (inner []byte, whole, wrapped bool) {
	if prefix := cri.FindSubmatch(raw); prefix != nil {
		return raw[len(prefix[0]):], prefix[1][0] == 'F', true
	}
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false, false
	}
	var collector struct {
		Log     *string         `json:"log"`     // Docker
		Message json.RawMessage `json:"MESSAGE"` // journald
		Msg     *string         `json:"msg"`     // Caddy's own
	}
	if json.Unmarshal(raw, &collector) != nil || collector.Msg != nil {
		return nil, false, false
	}
	if collector.Log != nil {
		text := strings.TrimSuffix(*collector.Log, "\n")
		return []byte(text), len(text) < len(*collector.Log), true // a part has no end of line
	}
	if len(collector.Message) == 0 || string(collector.Message) == "null" { // null: too long for journald
		return nil, false, false
	}
	var text string
	if json.Unmarshal(collector.Message, &text) == nil {
		return []byte(text), true, true
	}
	var numbers []uint8 // a text that has unprintable bytes, such as those of a colour
	var list []int
	if json.Unmarshal(collector.Message, &list) != nil {
		return nil, false, false
	}
	for _, n := range list {
		if n < 0 || n > 255 {
			return nil, false, false
		}
		numbers = append(numbers, uint8(n))
	}
	return numbers, true, true
}

// colors are what Caddy's console format puts around a level on a terminal.
var colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// console makes JSON of a line in Caddy's console format: time, level, logger, message and the fields as
// JSON, with tabs between. ok is false where the line is none.
func console(raw []byte) (line []byte, ok bool) {
	parts := bytes.Split(colors.ReplaceAll(raw, nil), []byte("\t"))
	at := -1
	for i, part := range parts {
		if s := string(part); s == startedMessage || s == endedMessage || s == actMessage {
			at = i
		}
	}
	if at < 1 || at+2 != len(parts) || !json.Valid(parts[at+1]) || parts[at+1][0] != '{' {
		return nil, false
	}
	moment, ok := consoleTime(string(parts[0]))
	if !ok {
		return nil, false
	}
	head, err := json.Marshal(map[string]string{"ts": moment, "msg": string(parts[at])})
	if err != nil {
		return nil, false
	}
	fields := bytes.TrimSpace(parts[at+1][1:])
	if fields[0] == '}' {
		return head, true
	}
	return append(append(head[:len(head)-1], ','), fields...), true
}

// consoleTime finds the time that ends a text: journalctl or Compose may have put something before it.
func consoleTime(text string) (string, bool) {
	for {
		if _, err := parseTime(json.RawMessage(strconv.Quote(text))); err == nil {
			return text, true
		}
		if seconds, err := strconv.ParseFloat(text, 64); err == nil {
			return time.UnixMicro(int64(seconds * 1e6)).UTC().Format(time.RFC3339Nano), true
		}
		_, rest, more := strings.Cut(text, " ")
		if !more {
			return "", false
		}
		text = rest
	}
}

// behindPrefix returns the JSON that ends a line, as journalctl and Compose print it behind a prefix of theirs.
func behindPrefix(raw []byte) (line []byte, ok bool) {
	i := bytes.IndexByte(raw, '{')
	if i <= 0 || !json.Valid(raw[i:]) {
		return nil, false
	}
	return raw[i:], true
}
