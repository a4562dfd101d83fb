package idp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
)

// object is a JSON object whose values are not parsed yet.
type object map[string]jsontext.Value

// claims are a token's claims: names are exact, and each occurs once. It is what
// golang-jwt validates.
type claims struct{ members object }

// UnmarshalJSON takes the claims over, names by their exact spelling.
func (c *claims) UnmarshalJSON(raw []byte) error { return jws.Unmarshal(raw, &c.members) }

// maxDate is the end of the year 9999, beyond which a date is none.
const maxDate = 253402300799

// date returns the time that a claim holds; nil if there is no such claim. It must be a number.
func (c *claims) date(name string) (*jwt.NumericDate, error) {
	value, found := c.members[name]
	if !found {
		return nil, nil //nolint:nilnil // jwt.Claims says so
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return nil, fmt.Errorf("%s is not a number of seconds", name)
	}
	whole, fraction := math.Modf(seconds)
	return &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*1e9))}, nil
}

// text returns a claim that must be a string; "" if there is no such claim.
func (c *claims) text(name string) (string, error) {
	value, found := c.members[name]
	if !found {
		return "", nil
	}
	if value.Kind() != '"' {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return unquote(value), nil
}

// GetExpirationTime returns exp.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.date("exp") }

// GetIssuedAt returns iat.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.date("iat") }

// GetNotBefore returns nbf.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return c.date("nbf") }

// GetIssuer returns iss.
func (c *claims) GetIssuer() (string, error) { return c.text("iss") }

// GetSubject returns sub.
func (c *claims) GetSubject() (string, error) { return c.text("sub") }

// GetAudience returns aud, which is a string or a list of strings.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) {
	value, found := c.members["aud"]
	if !found {
		return nil, nil
	}
	if value.Kind() == '"' {
		return jwt.ClaimStrings{unquote(value)}, nil
	}
	var list []string
	if value.Kind() != '[' || json.Unmarshal(value, &list) != nil {
		return nil, errors.New("aud is neither a string nor a list of strings")
	}
	return list, nil
}

// has reports whether there is a claim of that exact name.
func (c *claims) has(name string) bool { _, found := c.members[name]; return found }

// errAmbiguous is returned for a path that can be read in two ways, both of which lead to a value.
var errAmbiguous = errors.New("leads to two claims, since names may hold dots as well")

// find returns the value at a path of names with dots between them. A name may hold dots itself
// (kubernetes.io, https://example.com/tenant), so that every way to read the path is tried; more
// than one that leads to a value is an error. null is as good as absent.
func (c *claims) find(path string) (value jsontext.Value, found bool, err error) {
	switch values := lookup(c.members, path, nil); len(values) {
	case 0:
		return nil, false, nil
	case 1:
		return values[0], true, nil
	}
	return nil, false, errAmbiguous
}

func lookup(members object, path string, found []jsontext.Value) []jsontext.Value {
	if value, there := members[path]; there && value.Kind() != 'n' {
		found = append(found, value)
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		value, there := members[path[:i]]
		if !there || value.Kind() != '{' {
			continue
		}
		var inner object
		if jws.Unmarshal(value, &inner) == nil {
			found = lookup(inner, path[i+1:], found)
		}
	}
	return found
}

// one returns the single value at a path, in any shape that providers write: a string, a
// number, a boolean, or a list that holds just that.
func (c *claims) one(path string) (string, error) {
	value, found, err := c.find(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("claim %q %w", path, err)
	case !found:
		return "", fmt.Errorf("claim %q is missing", path)
	}
	texts, ok := scalars(value)
	switch {
	case !ok:
		return "", fmt.Errorf("claim %q is an object or a list of such, want one value", path)
	case len(texts) != 1:
		return "", fmt.Errorf("claim %q has %d values, want one", path, len(texts))
	case texts[0] == "":
		return "", fmt.Errorf("claim %q is empty", path)
	}
	return texts[0], nil
}

// scalars returns the values of a claim as texts: of a list its elements. ok is false if
// one of them is an object or a list again.
func scalars(value jsontext.Value) (texts []string, ok bool) {
	switch value.Kind() {
	case '"':
		return []string{unquote(value)}, true
	case '0', 't', 'f':
		return []string{string(value)}, true
	case '[':
		var list []jsontext.Value
		if jws.Unmarshal(value, &list) != nil {
			return nil, false
		}
		for _, element := range list {
			if element.Kind() == '[' {
				return nil, false
			}
			inner, ok := scalars(element)
			if !ok {
				return nil, false
			}
			texts = append(texts, inner...)
		}
		return texts, true
	}
	return nil, false
}

// unmet returns why the claims do not meet a requirement; nil if they do. A string counts as a
// whole and by its words, as scopes are written.
func (c *claims) unmet(r Requirement) error {
	value, found, err := c.find(r.Claim)
	switch {
	case err != nil:
		return fmt.Errorf("claim %q %w", r.Claim, err)
	case !found:
		return fmt.Errorf("claim %q is missing, want %s", r.Claim, quoted(r.Values))
	}
	texts, ok := scalars(value)
	if !ok {
		return fmt.Errorf("claim %q is an object or a list of such, want %s", r.Claim, quoted(r.Values))
	}
	if value.Kind() == '"' {
		texts = append(texts, strings.Fields(texts[0])...)
	}
	for _, text := range texts {
		for _, want := range r.Values {
			if text == want {
				return nil
			}
		}
	}
	return fmt.Errorf("claim %q holds none of %s", r.Claim, quoted(r.Values))
}

// unquote returns the text of a JSON string that has been validated.
func unquote(value jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

const maxQuoted = 3

// quoted lists texts for a log: the first of them, each cut.
func quoted(texts []string) string {
	var out strings.Builder
	for i, text := range texts {
		if i == maxQuoted {
			fmt.Fprintf(&out, " and %d more", len(texts)-i)
			break
		}
		if i > 0 {
			out.WriteString(" ")
		}
		out.WriteString(jws.Excerpt(text))
	}
	return out.String()
}
