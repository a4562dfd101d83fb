package gateway

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	preferHeader            = "Prefer"
	preferenceAppliedHeader = "Preference-Applied"

	// maxPrefer is the longest Prefer that is read, in bytes of all its lines.
	maxPrefer = 1 << 10

	// maxPreferredWait bounds how long an answer is waited for at a caller's wish.
	maxPreferredWait = time.Minute
)

// preferences are what the header Prefer (RFC 7240) asks for, of what the gateway knows.
type preferences struct {
	// async is respond-async: the caller does not want to wait for the end of the call.
	async bool
	// wait is how long it would wait all the same; zero if it did not say.
	wait time.Duration
}

// applied returns the value of Preference-Applied.
func (p preferences) applied() []string {
	var all []string
	if p.async {
		all = append(all, "respond-async")
	}
	if p.wait > 0 {
		all = append(all, "wait="+strconv.Itoa(int(p.wait/time.Second)))
	}
	return []string{strings.Join(all, ", ")}
}

// readPreferences reads the lines of Prefer. Of a preference that occurs more than once the first counts, and one that is unknown is ignored, as the
// standard has it. A header that is not written as the standard has it prefers nothing: to serve a call as if there were no Prefer is always right.
func readPreferences(lines []string) (p preferences) {
	if len(lines) == 0 {
		return p
	}
	rest := strings.Join(lines, ",")
	if len(rest) > maxPrefer {
		return preferences{}
	}
	var seenAsync, seenWait bool
	for {
		rest = strings.TrimLeft(rest, " \t,") // a list may have empty elements
		if rest == "" {
			return p
		}
		name, value, after, ok := readPreference(rest)
		if !ok {
			return preferences{}
		}
		rest = after
		switch {
		case strings.EqualFold(name, "respond-async") && !seenAsync:
			seenAsync, p.async = true, value == "" // it takes no value
		case strings.EqualFold(name, "wait") && !seenWait:
			seenWait, p.wait = true, readWait(value)
		}
	}
}

// readPreference reads one preference with its parameters, up to the comma or the end that follows. No preference that is known here has parameters.
func readPreference(in string) (name, value, rest string, ok bool) {
	if name, value, rest, ok = readPair(in); !ok {
		return "", "", "", false
	}
	for {
		rest = strings.TrimLeft(rest, " \t")
		switch {
		case rest == "" || rest[0] == ',':
			return name, value, rest, true
		case rest[0] != ';':
			return "", "", "", false
		}
		rest = strings.TrimLeft(rest[1:], " \t")
		if rest == "" || rest[0] == ',' || rest[0] == ';' {
			continue // a parameter may be empty
		}
		if _, _, rest, ok = readPair(rest); !ok {
			return "", "", "", false
		}
	}
}

// readPair reads a token and, behind an equals sign, a token or quoted string. An empty value is as good as none.
func readPair(in string) (name, value, rest string, ok bool) {
	name, rest = readToken(in)
	if name == "" {
		return "", "", "", false
	}
	behind := strings.TrimLeft(rest, " \t")
	if !strings.HasPrefix(behind, "=") {
		return name, "", rest, true
	}
	behind = strings.TrimLeft(behind[1:], " \t")
	if strings.HasPrefix(behind, `"`) {
		value, rest, ok = readQuoted(behind[1:])
		return name, value, rest, ok
	}
	value, rest = readToken(behind)
	return name, value, rest, value != ""
}

func readToken(in string) (token, rest string) {
	end := strings.IndexFunc(in, func(r rune) bool { return !httpguts.IsTokenRune(r) })
	if end < 0 {
		end = len(in)
	}
	return in[:end], in[end:]
}

// readQuoted reads a quoted string from behind its first quote.
func readQuoted(in string) (value, rest string, ok bool) {
	var text strings.Builder
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			return text.String(), in[i+1:], true
		case c == '\\' && i+1 < len(in):
			i++
			if in[i] != '\t' && (in[i] < ' ' || in[i] == 0x7f) {
				return "", "", false
			}
			text.WriteByte(in[i])
		case c == '\t' || c >= ' ' && c != 0x7f && c != '\\':
			text.WriteByte(c)
		default:
			return "", "", false
		}
	}
	return "", "", false
}

// readWait reads a number of seconds. What is none waits for nothing, and one beyond the bound for as long as that.
func readWait(value string) time.Duration {
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0
	}
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds > int(maxPreferredWait/time.Second) { // only its size can be an error
		return maxPreferredWait
	}
	return time.Duration(seconds) * time.Second
}
