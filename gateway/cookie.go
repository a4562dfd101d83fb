package gateway

import (
	"errors"
	"net/http"
	"strings"
)

// OnlyCookie returns the value of a cookie; "" if it is not there. One that occurs more than once is an error,
// since nobody can tell which was meant. Names are counted in the header as it came: Go's parser drops a cookie
// whose value it does not like, and another server may not.
func OnlyCookie(r *http.Request, name string) (string, error) {
	n, value := findCookie(r.Header["Cookie"], name)
	switch {
	case n == 0:
		return "", nil
	case n > 1:
		return "", errors.New("the cookie " + name + " occurs more than once")
	case isPlainCookie(value):
		return value, nil
	}
	for _, cookie := range r.CookiesNamed(name) {
		return cookie.Value, nil
	}
	return "", errors.New("the cookie " + name + " has a value that is not understood")
}

// findCookie returns how many pairs of the header have the name, whatever their value is, and the value of the last of them as
// it came; "" where blanks other than spaces stand around the name.
func findCookie(lines []string, name string) (n int, value string) {
	for _, line := range lines {
		if !strings.Contains(line, name) {
			continue // nearly every line
		}
		for pair := range strings.SplitSeq(line, ";") {
			found, text, _ := strings.Cut(pair, "=")
			if strings.Trim(found, " \t\r\n\v\f\x00") != name {
				continue
			}
			n++
			if value = ""; strings.Trim(found, " ") == name {
				value = text
			}
		}
	}
	return n, value
}

// isPlainCookie reports whether every parser reads a cookie's value as it came, as nearly every one that the gateway sets:
// Go's own allocates a cookie for each.
func isPlainCookie(value string) bool {
	for i := range len(value) {
		if c := value[i]; !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return value != ""
}
