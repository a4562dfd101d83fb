package console

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// perPage is how many rows a page of a table has.
const perPage = 25

// maxFilter bounds what a table is filtered by, in bytes.
const maxFilter = 200

// cell is one value of a table, as text. Nothing in it is markup.
type cell struct {
	Text string
	// Sub is a second line, small.
	Sub string
	// Href leads on; "" does not.
	Href string
	Tone Tone
	// Time is shown in the reader's zone; zero: Text is.
	Time time.Time
	// Code is set in type for codes.
	Code bool
	// Copy offers Text to be copied.
	Copy bool
}

// at returns a cell with a time.
func at(t time.Time) cell {
	if t.IsZero() {
		return cell{}
	}
	return cell{Text: t.UTC().Format(time.RFC3339), Time: t.UTC()}
}

func atPointer(t *time.Time) cell {
	if t == nil {
		return cell{}
	}
	return at(*t)
}

// number returns a cell with a number; zero is nothing.
func number(n int) cell {
	if n == 0 {
		return cell{}
	}
	return cell{Text: strconv.Itoa(n)}
}

// column is one column of a table of T.
type column[T any] struct {
	Key, Title string
	Number     bool
	Of         func(T) cell
	// Compare orders rows; nil: by text. Rows without a value come last either way if Missing reports them.
	Compare func(a, b T) int
}

// table is what any page shows in rows. Its state is in the address alone, so that an address can be shared.
type table[T any] struct {
	// ID is before the names of its parameters where a page has several tables; "" in the first.
	ID, Caption string
	Columns     []column[T]
	Rows        []T
	// Sort is the column that it is sorted by at first, as Desc says; "": as Rows are.
	Sort string
	Desc bool
	// Empty is told where there is no row at all.
	Empty string
	// Note is told above it, such as that there are more than were read.
	Note string
	// Selects narrow it down, each by one parameter.
	Selects []choice[T]
	// PerPage is how many rows a page has; 0: perPage.
	PerPage int
	// Older leads to rows before these; "": there are none.
	Older string
}

// choice narrows a table down to rows of a kind.
type choice[T any] struct {
	Key, Label string
	Options    []option
	Lets       func(row T, value string) bool
}

type option struct{ Value, Label string }

// tableView is a table as its template needs it.
type tableView struct {
	ID, Caption, Note, Empty   string
	Heads                      []headView
	Rows                       [][]cell
	Total, Matching            int
	From, To                   int
	Previous, Next, CSV, Older string
	Filter, FilterName         string
	Action                     string
	Hidden                     []option
	Selects                    []selectView
	Clear                      string // the address without filters; "": there are none
}

type headView struct {
	Title, Href string
	Sorted      string // ascending, descending or none
	Number      bool
}

type selectView struct {
	Name, Label, Value string
	Options            []option
}

// file is a table as a file.
type file struct {
	name string
	rows [][]string
}

// sheet is a table that belongs to an address.
type sheet interface {
	id() string
	view(path string, query url.Values) tableView
	file(query url.Values) file
}

func (t *table[T]) id() string { return t.ID }

// param returns the name of one of the table's parameters.
func (t *table[T]) param(name string) string {
	if t.ID == "" {
		return name
	}
	return t.ID + "-" + name
}

// get returns a parameter of the table.
func (t *table[T]) get(query url.Values, name string) string { return query.Get(t.param(name)) }

// selected returns the rows that the address asks for, in its order.
func (t *table[T]) selected(query url.Values) []T {
	rows := slices.Clone(t.Rows)
	for _, c := range t.Selects {
		if value := t.get(query, c.Key); value != "" {
			rows = slices.DeleteFunc(rows, func(row T) bool { return !c.Lets(row, value) })
		}
	}
	if words := strings.Fields(strings.ToLower(clip(t.get(query, "q"), maxFilter))); len(words) > 0 {
		rows = slices.DeleteFunc(rows, func(row T) bool { return !t.holds(row, words) })
	}
	sort, desc := t.order(query)
	for _, c := range t.Columns {
		if c.Key != sort {
			continue
		}
		compare := c.Compare
		if compare == nil {
			compare = func(a, b T) int {
				x, y := c.Of(a).Text, c.Of(b).Text
				if (x == "") != (y == "") { // what is not there comes last
					if (x == "") == desc {
						return -1
					}
					return 1
				}
				if c.Number {
					m, _ := strconv.ParseFloat(x, 64)
					n, _ := strconv.ParseFloat(y, 64)
					return cmp.Compare(m, n)
				}
				return strings.Compare(strings.ToLower(x), strings.ToLower(y))
			}
		}
		// By index: rows are large, and a stable sort moves each of them many times.
		order := make([]int, len(rows))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int {
			if desc {
				return cmp.Or(compare(rows[j], rows[i]), i-j)
			}
			return cmp.Or(compare(rows[i], rows[j]), i-j)
		})
		sorted := make([]T, len(rows))
		for to, from := range order {
			sorted[to] = rows[from]
		}
		rows = sorted
	}
	return rows
}

// order returns the column that the table is sorted by.
func (t *table[T]) order(query url.Values) (sort string, desc bool) {
	if sort = t.get(query, "sort"); sort == "" {
		return t.Sort, t.Desc
	}
	return sort, t.get(query, "dir") == "desc"
}

// holds reports whether each word stands somewhere in the row.
func (t *table[T]) holds(row T, words []string) bool {
	var b strings.Builder
	for _, c := range t.Columns {
		cell := c.Of(row)
		b.WriteString(cell.Text)
		b.WriteByte('\n')
		b.WriteString(cell.Sub)
		b.WriteByte('\n')
	}
	text := strings.ToLower(b.String())
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// with returns the address with parameters changed; "" takes one out. Another order or filter begins at the first page.
func (t *table[T]) with(path string, query url.Values, pairs ...string) string {
	changed := make(url.Values, len(query))
	for name, values := range query {
		changed[name] = values
	}
	changed.Del(t.param("page"))
	changed.Del("csv")
	changed.Del("part")
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			changed.Del(pairs[i])
		} else {
			changed.Set(pairs[i], pairs[i+1])
		}
	}
	if len(changed) == 0 {
		return path
	}
	return path + "?" + changed.Encode()
}

func (t *table[T]) view(path string, query url.Values) tableView {
	rows := t.selected(query)
	size := cmp.Or(t.PerPage, perPage)
	pages := max((len(rows)+size-1)/size, 1)
	page, _ := strconv.Atoi(t.get(query, "page"))
	page = min(max(page, 1), pages)
	from, to := (page-1)*size, min(page*size, len(rows))
	v := tableView{
		ID: t.ID, Caption: t.Caption, Note: t.Note, Empty: t.Empty, Total: len(t.Rows), Matching: len(rows), From: min(from+1, to), To: to,
		FilterName: t.param("q"), Filter: clip(t.get(query, "q"), maxFilter), Action: path, Older: t.Older,
	}
	sort, desc := t.order(query)
	for _, c := range t.Columns {
		head := headView{Title: c.Title, Sorted: "none", Number: c.Number}
		dir := "asc"
		if c.Key == sort {
			head.Sorted = "ascending"
			if desc {
				head.Sorted = "descending"
			} else {
				dir = "desc"
			}
		}
		head.Href = t.with(path, query, t.param("sort"), c.Key, t.param("dir"), dir)
		v.Heads = append(v.Heads, head)
	}
	for _, row := range rows[from:to] {
		cells := make([]cell, 0, len(t.Columns))
		for _, c := range t.Columns {
			cells = append(cells, c.Of(row))
		}
		v.Rows = append(v.Rows, cells)
	}
	if page > 1 {
		v.Previous = t.with(path, query, t.param("page"), strconv.Itoa(page-1))
	}
	if page < pages {
		v.Next = t.with(path, query, t.param("page"), strconv.Itoa(page+1))
	}
	v.CSV = t.with(path, query, "csv", cmp.Or(t.ID, "table"))
	own := []string{t.param("q"), t.param("page"), "csv", "part"}
	cleared := []string{t.param("q"), ""}
	filtered := v.Filter != ""
	for _, c := range t.Selects {
		value := t.get(query, c.Key)
		v.Selects = append(v.Selects, selectView{t.param(c.Key), c.Label, value, c.Options})
		own, cleared, filtered = append(own, t.param(c.Key)), append(cleared, t.param(c.Key), ""), filtered || value != ""
	}
	if filtered {
		v.Clear = t.with(path, query, cleared...)
	}
	for name, values := range query { // a form replaces the query
		if len(values) > 0 && !slices.Contains(own, name) {
			v.Hidden = append(v.Hidden, option{name, values[0]})
		}
	}
	slices.SortFunc(v.Hidden, func(a, b option) int { return strings.Compare(a.Value, b.Value) })
	return v
}

// file returns all rows that the address lets through.
func (t *table[T]) file(query url.Values) file {
	f := file{name: cmp.Or(t.ID, "table")}
	var heads []string
	for _, c := range t.Columns {
		heads = append(heads, c.Title)
	}
	f.rows = append(f.rows, heads)
	for _, row := range t.selected(query) {
		var line []string
		for _, c := range t.Columns {
			shown := c.Of(row)
			text := shown.Text
			if shown.Sub != "" {
				text += " (" + shown.Sub + ")"
			}
			line = append(line, text)
		}
		f.rows = append(f.rows, line)
	}
	return f
}

// clip bounds a text, in bytes.
func clip(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}
