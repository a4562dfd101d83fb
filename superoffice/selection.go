package superoffice

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// maxSelectLength bounds the $select that is taken from a caller, in bytes.
const maxSelectLength = 2048

// Select is the $select of a call: the fields of the answer that are not to be
// nulled. The zero Select shows all fields, as no $select does.
type Select struct{ fields []string }

// Why a query is refused. Each quotes nothing of it.
var (
	ErrQuery        = errors.New("the query is none of $select alone")
	errSelectTwice  = errors.New("$select occurs twice in the query")
	errSelectArray  = errors.New("$select is one list with commas, not an array")
	errSelectNames  = errors.New("$select lists names of letters, digits, _, / and . with commas between them")
	errSelectLength = errors.New("$select is longer than 2048 bytes")
)

// ParseQuery reads the raw query of a call. SuperOffice documents $select alone
// for agent calls, so every other key, a second $select and whatever two servers could split
// differently is refused rather than dropped. What is sent is rebuilt from the names, see [Select.Query].
func ParseQuery(raw string) (Select, error) {
	if raw == "" {
		return Select{}, nil
	}
	if len(raw) > 3*maxSelectLength {
		return Select{}, errSelectLength
	}
	if strings.ContainsAny(raw, "&;#") {
		return Select{}, refusedQuery(raw)
	}
	rawKey, rawValue, _ := strings.Cut(raw, "=")
	if !isSelect(rawKey) {
		return Select{}, refusedQuery(raw)
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil {
		return Select{}, ErrQuery
	}
	if len(value) > maxSelectLength {
		return Select{}, errSelectLength
	}
	var s Select
	for field := range strings.SplitSeq(value, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		if strings.IndexFunc(field, notFieldCharacter) >= 0 {
			return Select{}, errSelectNames
		}
		s.fields = append(s.fields, field)
	}
	return s, nil
}

// isSelect reports whether the key of a query is $select, in letters of any case.
func isSelect(rawKey string) bool {
	key, err := url.QueryUnescape(rawKey)
	return err == nil && equalFoldASCII(key, "$select")
}

// refusedQuery finds out what is wrong with a query that is not one $select.
func refusedQuery(raw string) error {
	selects := 0
	for pair := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '&' || r == ';' }) {
		rawKey, _, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(rawKey); err == nil {
			if name, _, array := strings.Cut(key, "["); array && isSelect(name) {
				return errSelectArray
			}
		}
		if isSelect(rawKey) {
			selects++
		}
	}
	if selects > 1 {
		return errSelectTwice
	}
	return ErrQuery
}

func notFieldCharacter(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_/.", r)
}

// outcomeFields are what an answer's outcome is told from.
var outcomeFields = []string{"IsOk", "Status", "ErrorCode"}

// Hides reports whether the selection nulls a field that the outcome is told from.
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
