package sandbox

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// row is a row of an archive by lower-case column.
type row map[string]any

// archive is a provider of NetServer's archives, which GET v1/archive/{provider} reads. None of those here belongs to a
// restricted agent. The envelope and the filter's simple terms are documented; the page's size, the form of the next
// page's address and how a mistake is answered are inferred.
type archive struct {
	name    string
	key     string
	columns []string
	rows    func(entities []string) iter.Seq[row]
}

const maxPage = 1000

func serveArchive(w http.ResponseWriter, r *http.Request, a archive) {
	answer, err := a.query(r)
	if err != nil {
		fault(w, http.StatusBadRequest, "error", "ArgumentException", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (a archive) query(r *http.Request) (map[string]any, error) {
	q := lowerNames(r.URL.Query())
	selected := a.columns
	if text := q.Get("$select"); text != "" {
		selected = strings.Split(text, ",")
		for i, column := range selected {
			selected[i] = strings.TrimSpace(column)
		}
	} else if strings.Contains(a.key, ".") {
		return nil, errors.New("the archive Dynamic needs $select")
	}
	for _, column := range selected {
		if !slices.Contains(a.columns, strings.ToLower(column)) {
			return nil, fmt.Errorf("unknown column %q", column)
		}
	}
	terms, err := parseFilter(q.Get("$filter"), a.columns)
	if err != nil {
		return nil, err
	}
	top, err := number(q.Get("$top"), maxPage)
	if err != nil {
		return nil, err
	}
	skip, err := number(q.Get("$skip"), 0)
	if err != nil {
		return nil, err
	}
	top = min(top, maxPage)
	var entities []string
	if text := q.Get("$entities"); text != "" {
		entities = strings.Split(strings.ToLower(text), ",")
	}
	value, matched, more := []map[string]any{}, 0, false
	for candidate := range a.rows(entities) {
		if !all(terms, candidate) {
			continue
		}
		if matched++; matched <= skip {
			continue
		}
		if len(value) == top {
			more = true
			break
		}
		out := map[string]any{"PrimaryKey": fmt.Sprint(candidate[a.key]), "EntityName": a.name}
		for _, column := range selected {
			out[column] = candidate[strings.ToLower(column)]
		}
		value = append(value, out)
	}
	answer := map[string]any{"odata.metadata": r.URL.Path + "/$metadata", "odata.nextLink": nil, "value": value}
	if more {
		next := r.URL.Query()
		for name := range next {
			if strings.EqualFold(name, "$skip") {
				next.Del(name)
			}
		}
		next.Set("$skip", strconv.Itoa(skip+top))
		answer["odata.nextLink"] = "http://" + r.Host + r.URL.Path + "?" + next.Encode()
	}
	return answer, nil
}

func lowerNames(values url.Values) url.Values {
	out := url.Values{}
	for name, v := range values {
		out[strings.ToLower(name)] = v
	}
	return out
}

func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid number %q", text)
	}
	return n, nil
}

func contains(entities []string, entity string, otherwise bool) bool {
	if entities == nil {
		return otherwise
	}
	return slices.Contains(entities, strings.ToLower(entity))
}

// term is one comparison of a filter.
type term struct{ column, operator, value string }

var (
	comparison = regexp.MustCompile(`(?i)^\s*([A-Za-z_][\w./]*)\s+(eq|=|equals|ne|begins|contains|gt|ge|lt|le)\s+('(?:[^']|'')*'|-?\d+|true|false)\s*(?:and\s+|$)`)
	function   = regexp.MustCompile(`(?i)^\s*(startswith|contains)\(\s*([A-Za-z_][\w./]*)\s*,\s*('(?:[^']|'')*')\s*\)\s*(?:and\s+|$)`)
)

// parseFilter reads comparisons that are joined by and; the real one knows far more.
func parseFilter(text string, columns []string) (terms []term, err error) {
	for rest := text; strings.TrimSpace(rest) != ""; {
		var t term
		if found := comparison.FindStringSubmatch(rest); found != nil {
			t, rest = term{found[1], strings.ToLower(found[2]), found[3]}, rest[len(found[0]):]
		} else if found := function.FindStringSubmatch(rest); found != nil {
			t, rest = term{found[2], strings.ToLower(found[1]), found[3]}, rest[len(found[0]):]
		} else {
			return nil, fmt.Errorf("the filter is not understood at %q", rest)
		}
		t.column = strings.ToLower(t.column)
		if !slices.Contains(columns, t.column) {
			return nil, fmt.Errorf("unknown column %q", t.column)
		}
		if quoted, ok := strings.CutPrefix(t.value, "'"); ok {
			t.value = strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), "''", "'")
		}
		terms = append(terms, t)
	}
	return terms, nil
}

func all(terms []term, r row) bool {
	for _, t := range terms {
		if !t.holds(r[t.column]) {
			return false
		}
	}
	return true
}

// holds compares as the database does: numbers by value, texts without case.
func (t term) holds(have any) bool {
	text, want := strings.ToLower(fmt.Sprint(have)), strings.ToLower(t.value)
	order := strings.Compare(text, want)
	if n, ok := have.(int); ok {
		if w, err := strconv.Atoi(want); err == nil {
			order = n - w
		}
	}
	switch t.operator {
	case "begins", "startswith":
		return strings.HasPrefix(text, want)
	case "contains":
		return strings.Contains(text, want)
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	}
	return order == 0
}
