package superoffice

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The spellings below are not made up: each is read as a plain path by some
// server that could stand behind the gateway (IIS with ASP.NET above all) or in
// front of it. Which one does is not worth knowing; all are refused.

const (
	agentsSegment  = "agents"
	erpSyncSegment = "erpsync"

	// maxDecodings is how many layers of percent-encoding are taken off. Nobody
	// writes more than two in good faith; what is deeper counts as ours.
	maxDecodings = 8
)

// mayNameAgent is the cheap look that every request of the site pays for: false
// only if no decoding at all can make the agent's name appear.
func mayNameAgent(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%' || c >= utf8.RuneSelf || c < ' ':
			return true
		case c|0x20 == 'e' && len(path)-i >= len(erpSyncSegment) && strings.EqualFold(path[i:i+len(erpSyncSegment)], erpSyncSegment):
			return true
		}
	}
	return false
}

// namesAgent reports whether some reading of the path has the segments "agents"
// and "erpsync" one after the other.
func namesAgent(path string) bool {
	for range maxDecodings {
		if readsAsAgent(path) {
			return true
		}
		decoded, changed := decodePercent(path)
		if !changed {
			return false
		}
		path = decoded
	}
	return true
}

func readsAsAgent(path string) bool {
	path = strings.ToLower(norm.NFKC.String(decodeOverlong(path)))
	var kept, resolved []string
	for segment := range strings.FieldsFuncSeq(path, isSeparator) {
		segment = bareSegment(segment)
		switch segment {
		case "":
			continue
		case "..":
			if len(resolved) > 0 {
				resolved = resolved[:len(resolved)-1]
			}
			continue
		}
		kept, resolved = append(kept, segment), append(resolved, segment)
	}
	return hasAgent(kept) || hasAgent(resolved) || resemblesAgent(path)
}

// agentName is what a look-alike is compared with.
const agentName = agentsSegment + "/" + erpSyncSegment

// leastLiteral is how many characters of agentName a look-alike has at least. With fewer, plain words in other
// scripts would count as one.
const leastLiteral = 8

// wildcard stands for any one character of the name.
const wildcard = utf8.RuneError

// resemblesAgent reports whether a part of the path is the agent's name with other letters that look alike, or with
// bytes that are no UTF-8, in place of some of its own. Which character a server makes of those is its own affair.
func resemblesAgent(path string) bool {
	if strings.IndexFunc(path, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return false
	}
	window := make([]rune, 0, len(agentName))
	malformed := false
	for _, r := range path {
		if r == utf8.RuneError && malformed {
			continue // a run of them is one character that was written too long
		}
		malformed = r == utf8.RuneError
		switch {
		case r == '\\':
			r = '/'
		case r >= utf8.RuneSelf:
			r = wildcard
		}
		if len(window) == len(agentName) {
			copy(window, window[1:])
			window = window[:len(window)-1]
		}
		if window = append(window, r); isAgentName(window) {
			return true
		}
	}
	return false
}

func isAgentName(window []rune) bool {
	if len(window) < len(agentName) {
		return false
	}
	literal := 0
	for i, r := range window {
		switch r {
		case rune(agentName[i]):
			literal++
		case wildcard:
		default:
			return false
		}
	}
	return literal >= leastLiteral
}

func isSeparator(r rune) bool {
	return r == '/' || r == '\\' || r == '∕' || r == '∖' || r == '⁄' || r == '¥'
}

// bareSegment takes off what servers ignore in a segment: path parameters,
// alternate data streams, ASP.NET's cookieless session, trailing dots and
// blanks, and characters that cannot be seen.
func bareSegment(segment string) string {
	if segment == ".." {
		return segment
	}
	segment = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsMark(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, segment)
	if i := strings.IndexAny(segment, ";:?#"); i >= 0 {
		segment = segment[:i]
	}
	trimmed := strings.TrimRight(segment, ". ")
	if trimmed == "" && strings.HasPrefix(segment, "..") {
		return ".."
	}
	trimmed = strings.TrimLeft(trimmed, " ")
	if strings.HasPrefix(trimmed, "(") && strings.HasSuffix(trimmed, ")") {
		return ""
	}
	return trimmed
}

func hasAgent(segments []string) bool {
	for i := 1; i < len(segments); i++ {
		if segments[i] == erpSyncSegment && segments[i-1] == agentsSegment {
			return true
		}
	}
	return false
}

// decodePercent takes one layer of %XX and IIS's %uXXXX off.
func decodePercent(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, false
	}
	var b strings.Builder
	changed := false
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i+5 < len(s) && s[i+1]|0x20 == 'u' {
				if v, ok := hexValue(s[i+2 : i+6]); ok {
					b.WriteRune(rune(v))
					i, changed = i+5, true
					continue
				}
			}
			if i+2 < len(s) {
				if v, ok := hexValue(s[i+1 : i+3]); ok {
					b.WriteByte(byte(v))
					i, changed = i+2, true
					continue
				}
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), changed
}

// decodeOverlong returns ASCII characters that were written as two or three bytes
// of UTF-8 their one-byte form back; old decoders accept such sequences.
func decodeOverlong(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case i+1 < len(s) && (s[i] == 0xc0 || s[i] == 0xc1) && s[i+1]&0xc0 == 0x80:
			b.WriteByte(s[i]&1<<6 | s[i+1]&0x3f)
			i++
		case i+2 < len(s) && s[i] == 0xe0 && (s[i+1] == 0x80 || s[i+1] == 0x81) && s[i+2]&0xc0 == 0x80:
			b.WriteByte(s[i+1]&1<<6 | s[i+2]&0x3f)
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func hexValue(s string) (v uint32, ok bool) {
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint32(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | uint32(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
