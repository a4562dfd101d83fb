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
	switch countCookie(r.Header["Cookie"], name) {
	case 0:
		return "", nil
	case 1:
		for _, cookie := range r.CookiesNamed(name) {
			return cookie.Value, nil
		}
		return "", errors.New("the cookie " + name + " has a value that is not understood")
	}
	return "", errors.New("the cookie " + name + " occurs more than once")
}

// countCookie returns how many pairs of the header have the name, whatever their value is.
func countCookie(lines []string, name string) (n int) {
	for _, line := range lines {
		if !strings.Contains(line, name) {
			continue // nearly every line
		}
		for pair := range strings.SplitSeq(line, ";") {
			found, _, _ := strings.Cut(pair, "=")
			if strings.Trim(found, " \t\r\n\v\f\x00") == name {
				n++
			}
		}
	}
	return n
}
