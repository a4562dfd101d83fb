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
	// backslash says how a quote is written inside a text; unordered has $orderBy ignored.
	backslash, unordered bool
	// texts has every value written as a text.
	texts bool
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
	filter, err := parseFilter(q.Get("$filter"), a.columns, a.backslash)
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
	rows := a.rows(entities)
	if by := q.Get("$orderby"); by != "" && !a.unordered {
		if rows, err = a.ordered(rows, by); err != nil {
			return nil, err
		}
	}
	for candidate := range rows {
		if !filter.holds(candidate) {
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
			if a.texts {
				out[column] = fmt.Sprint(out[column])
			}
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

// ordered sorts by one column, ascending, which is all that is known here.
func (a archive) ordered(rows iter.Seq[row], by string) (iter.Seq[row], error) {
	column := strings.ToLower(strings.TrimSpace(by))
	if !slices.Contains(a.columns, column) {
		return nil, fmt.Errorf("unknown column %q", by)
	}
	return slices.Values(slices.SortedStableFunc(rows, func(x, y row) int { return compareValues(x[column], y[column]) })), nil
}

// compareValues compares as the database does: numbers by value, texts without case.
func compareValues(x, y any) int {
	m, isNumber := x.(int)
	if n, ok := y.(int); ok && isNumber {
		return m - n
	}
	return strings.Compare(strings.ToLower(fmt.Sprint(x)), strings.ToLower(fmt.Sprint(y)))
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

// condition is what a row has to fulfil: every one of all, and one of any where there are some; or else the term.
type condition struct {
	term     *term
	all, any []condition
}

func (c condition) holds(r row) bool {
	switch {
	case c.term != nil:
		return c.term.holds(r[c.term.column])
	case c.any != nil:
		return slices.ContainsFunc(c.any, func(one condition) bool { return one.holds(r) })
	}
	return !slices.ContainsFunc(c.all, func(one condition) bool { return !one.holds(r) })
}

// filterParser reads a filter: comparisons, and, or, brackets; the real one knows far more. How a quote is written inside
// a text is contested: the vendor's pages have a backslash before it, OData has two quotes.
type filterParser struct {
	rest      string
	columns   []string
	backslash bool
}

const (
	doubledText   = `'(?:[^']|'')*'`
	backslashText = `'(?:[^'\\]|\\.)*'`
	plainValue    = `-?\d+|true|false`
	operators     = `eq|=|equals|ne|begins|contains|gt|ge|lt|le`
)

var (
	comparisons = map[bool]*regexp.Regexp{
		false: regexp.MustCompile(`(?i)^([A-Za-z_][\w./]*)\s+(` + operators + `)\s+(` + doubledText + `|` + plainValue + `)`),
		true:  regexp.MustCompile(`(?i)^([A-Za-z_][\w./]*)\s+(` + operators + `)\s+(` + backslashText + `|` + plainValue + `)`),
	}
	functions = map[bool]*regexp.Regexp{
		false: regexp.MustCompile(`(?i)^(startswith|contains)\(\s*([A-Za-z_][\w./]*)\s*,\s*(` + doubledText + `)\s*\)`),
		true:  regexp.MustCompile(`(?i)^(startswith|contains)\(\s*([A-Za-z_][\w./]*)\s*,\s*(` + backslashText + `)\s*\)`),
	}
	connective = regexp.MustCompile(`(?i)^(and|or)[\s(]`)
)

// parseFilter returns a condition that every row fulfils for an empty filter.
func parseFilter(text string, columns []string, backslash bool) (condition, error) {
	p := &filterParser{strings.TrimSpace(text), columns, backslash}
	if p.rest == "" {
		return condition{}, nil
	}
	c, err := p.alternatives()
	if err == nil && p.rest != "" {
		err = p.notUnderstood()
	}
	return c, err
}

func (p *filterParser) notUnderstood() error {
	return fmt.Errorf("the filter is not understood at %q", p.rest)
}

// takes consumes a word between two operands.
func (p *filterParser) takes(word string) bool {
	found := connective.FindStringSubmatch(p.rest)
	if found == nil || !strings.EqualFold(found[1], word) {
		return false
	}
	p.rest = strings.TrimSpace(p.rest[len(word):])
	return true
}

// alternatives reads what or joins, which binds less than and.
func (p *filterParser) alternatives() (condition, error) {
	var some []condition
	for {
		c, err := p.conjunction()
		if err != nil {
			return c, err
		}
		if some = append(some, c); !p.takes("or") {
			return condition{any: some}, nil
		}
	}
}

func (p *filterParser) conjunction() (condition, error) {
	var all []condition
	for {
		c, err := p.operand()
		if err != nil {
			return c, err
		}
		if all = append(all, c); !p.takes("and") {
			return condition{all: all}, nil
		}
	}
}

func (p *filterParser) operand() (condition, error) {
	if inner, ok := strings.CutPrefix(p.rest, "("); ok {
		p.rest = strings.TrimSpace(inner)
		c, err := p.alternatives()
		if err != nil {
			return c, err
		}
		if inner, ok = strings.CutPrefix(p.rest, ")"); !ok {
			return c, p.notUnderstood()
		}
		p.rest = strings.TrimSpace(inner)
		return c, nil
	}
	var t term
	if found := comparisons[p.backslash].FindStringSubmatch(p.rest); found != nil {
		t, p.rest = term{found[1], strings.ToLower(found[2]), found[3]}, strings.TrimSpace(p.rest[len(found[0]):])
	} else if found := functions[p.backslash].FindStringSubmatch(p.rest); found != nil {
		t, p.rest = term{found[2], strings.ToLower(found[1]), found[3]}, strings.TrimSpace(p.rest[len(found[0]):])
	} else {
		return condition{}, p.notUnderstood()
	}
	t.column = strings.ToLower(t.column)
	if !slices.Contains(p.columns, t.column) {
		return condition{}, fmt.Errorf("unknown column %q", t.column)
	}
	if quoted, ok := strings.CutPrefix(t.value, "'"); ok {
		t.value = p.unquoted(strings.TrimSuffix(quoted, "'"))
	}
	return condition{term: &t}, nil
}

func (p *filterParser) unquoted(text string) string {
	if !p.backslash {
		return strings.ReplaceAll(text, "''", "'")
	}
	var b strings.Builder
	escaped := false
	for _, r := range text {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		b.WriteRune(r)
	}
	return b.String()
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
