package superoffice

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxSelectLength bounds the $select that is taken from a caller, in bytes.
const maxSelectLength = 2048

// Select is the $select of a call: the fields of the answer that are not to be
// nulled. The zero Select shows all fields, as no $select does.
type Select struct{ fields []string }

// ErrQuery tells that a query holds something that has no certain meaning.
var ErrQuery = errors.New("the query may hold one $select and nothing else")

// ParseQuery reads the raw query of a call. SuperOffice documents $select alone
// for agent calls, so every other key, a second $select and whatever two servers could split
// differently is refused rather than dropped: what was decided on is what is sent.
func ParseQuery(raw string) (Select, error) {
	if raw == "" {
		return Select{}, nil
	}
	if len(raw) > 3*maxSelectLength || strings.ContainsAny(raw, "&;#") {
		return Select{}, ErrQuery
	}
	rawKey, rawValue, _ := strings.Cut(raw, "=")
	key, err := url.QueryUnescape(rawKey)
	if err != nil || !strings.EqualFold(key, "$select") {
		return Select{}, ErrQuery
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil || len(value) > maxSelectLength {
		return Select{}, ErrQuery
	}
	var s Select
	for field := range strings.SplitSeq(value, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		if strings.IndexFunc(field, notFieldCharacter) >= 0 {
			return Select{}, fmt.Errorf("%w: a $select lists names of properties with commas between them", ErrQuery)
		}
		s.fields = append(s.fields, field)
	}
	return s, nil
}

func notFieldCharacter(r rune) bool {
	return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("_/.:-", r)
}

// outcomeFields are what an answer's outcome is told from.
var outcomeFields = []string{"IsOk", "Status", "ErrorCode"}

// Hides tells whether the selection nulls a field that the outcome is told from.
func (s Select) Hides() bool {
	return len(s.fields) > 0 && slices.ContainsFunc(outcomeFields, func(f string) bool { return !s.has(f) })
}

// Revealing adds the fields that the outcome is told from. What a caller asked
// for stays first and in its order; the answer is then a superset of it.
func (s Select) Revealing() Select {
	if !s.Hides() {
		return s
	}
	wider := Select{slices.Clone(s.fields)}
	for _, f := range outcomeFields {
		if !s.has(f) {
			wider.fields = append(wider.fields, f)
		}
	}
	return wider
}

func (s Select) has(field string) bool {
	return slices.ContainsFunc(s.fields, func(f string) bool { return strings.EqualFold(f, field) })
}

// Query writes the query that goes upstream, "" for the zero Select.
func (s Select) Query() string {
	if len(s.fields) == 0 {
		return ""
	}
	return "$select=" + strings.ReplaceAll(url.QueryEscape(strings.Join(s.fields, ",")), "%2C", ",")
}
