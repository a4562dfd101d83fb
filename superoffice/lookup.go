package superoffice

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An internal key is a row of ErpInternalKey, which names the CRM record (tableId, recordId). A row of ErpExternalKey
// names its number in the ERP system behind one connection. The archive Dynamic reads both tables, and the
// archive Contact finds companies by name; neither belongs to a restricted agent.
//
// The columns, the filter's operators, $orderBy and $top are documented. That Dynamic reads these two tables for an
// app without the agent is inferred, and so is how it writes values: numbers and texts of numbers are taken.

// Question is a kind of look-up.
type Question string

// The questions. A record is asked for by the name of its table.
const (
	ByERPKey  Question = "erp"
	ByKey     Question = "key"
	ByContact Question = "contact"
	ByPerson  Question = "person"
	ByProject Question = "project"
	ByName    Question = "name"
)

// questionTables are the database's numbers of the tables whose records are asked for.
var questionTables = map[Question]int32{ByContact: 5, ByPerson: 6, ByProject: 9}

// TableName returns the name of a table whose records are synchronised, "" for another.
func TableName(table int32) string {
	for question, number := range questionTables {
		if number == table {
			return string(question)
		}
	}
	return ""
}

// Limits of a look-up.
const (
	// MaxLookup is how many matches a page has at most, MaxLookupNames how many companies: their ids go into one filter.
	MaxLookup      = 100
	MaxLookupNames = 10
	// MaxLookupText bounds an ERP number and a name, in bytes: the query has to stay within what IIS takes.
	MaxLookupText = 200
	// maxNameKeys is how many keys the companies of a page may have together.
	maxNameKeys = 100
)

// Lookup asks which ERP number, internal key and CRM record belong together behind a connection. Of the questions one is
// asked: Text of ByERPKey and ByName, Number of the others.
type Lookup struct {
	Question   Question
	Connection int32
	Text       string
	Number     int32
	// After continues behind a page: its Next. Zero begins.
	After int32
	// Limit is how many matches a page has at most; zero: as many as there may be.
	Limit int
}

// LookupError says what is wrong with a look-up. Field is the name of what it is about.
type LookupError struct{ Field, Problem string }

func (e *LookupError) Error() string { return e.Field + ": " + e.Problem }

// Validate returns a *LookupError if the question cannot be asked.
func (l Lookup) Validate() error {
	name := string(l.Question)
	wrong := func(field, problem string) error { return &LookupError{field, problem} }
	switch {
	case l.Connection <= 0:
		return wrong("connection", "want an ERP connection's number")
	case l.After < 0:
		return wrong("after", "is negative")
	case l.Limit < 0 || l.Limit > l.most():
		return wrong("limit", fmt.Sprintf("want 1 to %d", l.most()))
	case l.Question == ByERPKey || l.Question == ByName:
		if l.Number != 0 || l.Text == "" || strings.TrimSpace(l.Text) != l.Text {
			return wrong(name, "is empty, or begins or ends with a space")
		}
		if len(l.Text) > MaxLookupText || !utf8.ValidString(l.Text) || strings.ContainsFunc(l.Text, unicode.IsControl) {
			return wrong(name, fmt.Sprintf("is longer than %d bytes, or holds a control character", MaxLookupText))
		}
		if l.Question == ByERPKey {
			if _, ok := quote(l.Text); !ok {
				return wrong(name, `has one of ' " \ %, which cannot be looked up: it is not certain how an archive reads them`)
			}
		} else if len(pieces(l.Text)) == 0 {
			return wrong(name, "has nothing that can be looked up")
		}
	case l.Question == ByKey || questionTables[l.Question] != 0:
		if l.Number <= 0 || l.Text != "" {
			return wrong(name, "want a number above zero")
		}
	default:
		return wrong("question", "want one of erp, key, contact, person, project and name")
	}
	return nil
}

// most returns how many matches a page has at most.
func (l Lookup) most() int {
	if l.Question == ByName {
		return MaxLookupNames
	}
	return MaxLookup
}

func (l Lookup) limit() int {
	if l.Limit == 0 {
		return l.most()
	}
	return l.Limit
}

// contested reports whether servers may read a character of a text in quotes differently. The vendor's documentation
// escapes a quote by a backslash, OData by a second quote; % is a wildcard of SQL and begins what a second decoding
// would turn into a quote; the last three become a quote in an 8-bit code page.
func contested(r rune) bool { return strings.ContainsRune("'\"\\%\u02bc\u2032\uff07", r) }

// quote returns the text in quotes, as every reading of the filter's grammar takes it; ok is false for a text that
// has no such form. Nothing else puts a text into a filter.
func quote(text string) (quoted string, ok bool) {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, contested) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", false
	}
	return "'" + text + "'", true
}

// pieces splits a text at what is contested.
func pieces(text string) []string { return strings.FieldsFunc(text, contested) }

// The columns of the archive Dynamic.
const (
	rowColumn        = "erpexternalkey.erpexternalkey_id"
	connectionColumn = "erpexternalkey.ErpConnectionId"
	erpKeyColumn     = "erpexternalkey.ErpKey"
	actorColumn      = "erpexternalkey.ActorType"
	keyColumn        = "erpexternalkey.ErpInternalKeyId"
	tableColumn      = "erpexternalkey.ErpInternalKeyId.tableId"
	recordColumn     = "erpexternalkey.ErpInternalKeyId.recordId"
)

var keyColumns = []string{rowColumn, connectionColumn, erpKeyColumn, actorColumn, keyColumn, tableColumn, recordColumn}

func archivePath(name string, columns []string, filter, orderBy string, top int) string {
	return "/v1/archive/" + name + "?$select=" + strings.Join(columns, ",") + "&$filter=" + strings.ReplaceAll(url.QueryEscape(filter), "+", "%20") +
		"&$orderBy=" + orderBy + "&$top=" + strconv.Itoa(top)
}

func is(column string, number int32) string { return column + " eq " + strconv.Itoa(int(number)) }

// KeyArchive returns the path and query, below {webapi}, at which the keys of a question that Validate takes are. Companies
// are those of ByName that the archive of companies has found; other questions have none.
func (l Lookup) KeyArchive(companies []Company) string {
	terms, top := []string{is(connectionColumn, l.Connection)}, l.limit()+1
	switch table := questionTables[l.Question]; {
	case l.Question == ByERPKey:
		quoted, _ := quote(l.Text)
		terms = append(terms, erpKeyColumn+" eq "+quoted)
	case l.Question == ByKey:
		terms = append(terms, is(keyColumn, l.Number))
	case l.Question == ByName:
		records := make([]string, len(companies))
		for i, company := range companies {
			records[i] = is(recordColumn, company.ID)
		}
		terms = append(terms, is(tableColumn, questionTables[ByContact]), "("+strings.Join(records, " or ")+")")
		top = maxNameKeys + 1
	default:
		terms = append(terms, is(tableColumn, table), is(recordColumn, l.Number))
	}
	if l.After > 0 && l.Question != ByName {
		terms = append(terms, rowColumn+" gt "+strconv.Itoa(int(l.After)))
	}
	return archivePath("Dynamic", keyColumns, strings.Join(terms, " and "), rowColumn, top)
}

// AnyKeyArchive returns the path and query, below {webapi}, at which any two keys are, in their order.
func AnyKeyArchive() string {
	return archivePath("Dynamic", keyColumns, rowColumn+" gt 0", rowColumn, 2)
}

// ParseAnyKey reads the answer to AnyKeyArchive and returns the look-up that finds the first again. found is false if
// there is none.
func ParseAnyKey(body []byte) (again Lookup, found bool, err error) {
	rows, _, err := archiveRows(body, rowColumn, 0, 2)
	if err != nil || len(rows) == 0 {
		return Lookup{}, false, err
	}
	again = Lookup{Question: ByKey, Connection: rows[0].number(connectionColumn), Number: rows[0].number(keyColumn)}
	if rows[0].err != nil || again.Validate() != nil {
		return Lookup{}, false, errColumns
	}
	return again, true, nil
}

// ContactArchive returns the path and query, below {webapi}, at which the companies are that ByName asks for. Where the name
// holds a quote or the like, the pieces around it are looked for instead.
func (l Lookup) ContactArchive() string {
	var terms []string
	for i, piece := range pieces(l.Text) {
		operator := "contains"
		if i == 0 && strings.HasPrefix(l.Text, piece) {
			operator = "begins"
		}
		if quoted, ok := quote(piece); ok {
			terms = append(terms, "name "+operator+" "+quoted)
		}
	}
	if l.After > 0 {
		terms = append(terms, "contactId gt "+strconv.Itoa(int(l.After)))
	}
	return archivePath("Contact", []string{"contactId", "name"}, strings.Join(terms, " and "), "contactId", l.limit()+1)
}

// Company is a company of the archive Contact.
type Company struct {
	ID   int32
	Name string
}

// Record is a CRM record: the number of its table, the table's name where it is one of those that questions
// are about, and its id.
type Record struct {
	Table int32  `json:"table_id"`
	Name  string `json:"table,omitempty"`
	ID    int32  `json:"id"`
}

// Match is an ERP number, an internal key and a CRM record that belong together. Of a company that was found by name and is
// not synchronised through the connection, Key is zero and ERPKey is empty.
type Match struct {
	ERPKey string `json:"erp_key,omitempty"`
	Key    int32  `json:"key,omitempty"`
	Record Record `json:"record"`
	// ActorType is the ErpActorType as a number: 1 is a customer, 4 a contact person, 5 a project.
	ActorType int32 `json:"actor_type,omitempty"`
	// Name is the company's, if it was found by name.
	Name string `json:"name,omitempty"`
}

// Errors of answers. None of them says that nothing was found.
var (
	errNoRows   = errors.New("did not answer rows in JSON")
	errColumns  = errors.New("answered a row without a column that was asked for, or with a value of another kind")
	errFilter   = errors.New("answered a row that was not asked for, so that it does not heed the filter as assumed")
	errOrder    = errors.New("did not answer the rows in the order that was asked for, so that pages would miss some")
	errTooMany  = errors.New("answered more rows than were asked for, or the companies have more keys than a page may have")
	errTooLarge = fmt.Errorf("answered more than %d bytes", MaxLookupAnswer)
)

// MaxLookupAnswer bounds an archive's answer, in bytes.
const MaxLookupAnswer = 1 << 20

// archiveRows reads an answer's rows. Rows have to be in the order of their ids, from after on.
func archiveRows(body []byte, id string, after int32, top int) (rows []archiveRow, more bool, err error) {
	if len(body) > MaxLookupAnswer {
		return nil, false, errTooLarge
	}
	var answer struct {
		Next  *string `json:"odata.nextLink"`
		Value *[]map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Value == nil {
		return nil, false, errNoRows
	}
	if len(*answer.Value) > top {
		return nil, false, errTooMany
	}
	for _, raw := range *answer.Value {
		row := archiveRow{raw: raw}
		if row.id = row.number(id); row.err != nil || row.id == 0 {
			return nil, false, errColumns
		}
		if row.id <= after {
			return nil, false, errOrder
		}
		after = row.id
		rows = append(rows, row)
	}
	return rows, answer.Next != nil && *answer.Next != "", nil
}

// archiveRow is a row whose columns are read without case.
type archiveRow struct {
	raw map[string]json.RawMessage
	id  int32
	err error // of the first column that could not be read
}

func (r *archiveRow) column(name string) json.RawMessage {
	for key, raw := range r.raw {
		if strings.EqualFold(key, name) {
			return raw
		}
	}
	r.err = errColumns
	return nil
}

// number reads a column that is a number, or a number written as a text, or null, which is 0.
func (r *archiveRow) number(name string) int32 {
	raw := r.column(name)
	if raw == nil || string(raw) == "null" {
		return 0
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 32)
	if err != nil || n < 0 {
		r.err = errColumns
		return 0
	}
	return int32(n)
}

// text reads a column that is a text, or a number that a text was written as.
func (r *archiveRow) text(name string) (text string) {
	raw := r.column(name)
	if raw == nil {
		return ""
	}
	if err := json.Unmarshal(raw, &text); err == nil && string(raw) != "null" {
		return text
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	r.err = errColumns
	return ""
}

// ParseKeys reads the answer to KeyArchive. next is where the next page begins, 0 for the last. An error is no absence: it
// says that the answer cannot be trusted.
func (l Lookup) ParseKeys(body []byte, companies []Company) (matches []Match, next int32, err error) {
	limit, after := l.limit(), l.After
	if l.Question == ByName {
		limit, after = maxNameKeys, 0
	}
	rows, more, err := archiveRows(body, rowColumn, after, limit+1)
	if err != nil {
		return nil, 0, err
	}
	if l.Question == ByName && (more || len(rows) > limit) {
		return nil, 0, errTooMany
	}
	matches = make([]Match, 0, len(rows))
	for i := range rows {
		row := &rows[i]
		m := Match{ERPKey: row.text(erpKeyColumn), Key: row.number(keyColumn), ActorType: row.number(actorColumn)}
		m.Record = Record{Table: row.number(tableColumn), ID: row.number(recordColumn)}
		m.Record.Name = TableName(m.Record.Table)
		connection := row.number(connectionColumn)
		switch {
		case row.err != nil || m.Key == 0:
			return nil, 0, errColumns
		case connection != l.Connection || !l.asked(m, companies):
			return nil, 0, errFilter
		}
		matches = append(matches, m)
	}
	if len(matches) > limit {
		matches, more = matches[:limit], true
	}
	if more && len(matches) > 0 {
		next = rows[len(matches)-1].id
	}
	if l.Question == ByName {
		return l.named(matches, companies), 0, nil
	}
	return matches, next, nil
}

// asked reports whether a match is one of those that were asked for. Databases compare texts without case.
func (l Lookup) asked(m Match, companies []Company) bool {
	switch l.Question {
	case ByERPKey:
		return strings.EqualFold(strings.TrimSpace(m.ERPKey), l.Text)
	case ByKey:
		return m.Key == l.Number
	case ByName:
		return m.Record.Table == questionTables[ByContact] && slices.ContainsFunc(companies, func(c Company) bool { return c.ID == m.Record.ID })
	}
	return m.Record.Table == questionTables[l.Question] && m.Record.ID == l.Number
}

// named returns the matches in the order of the companies, with their names, and those companies that have no key.
func (l Lookup) named(matches []Match, companies []Company) []Match {
	all := make([]Match, 0, len(companies))
	for _, company := range companies {
		before := len(all)
		for _, m := range matches {
			if m.Record.ID == company.ID {
				m.Name = company.Name
				all = append(all, m)
			}
		}
		if len(all) == before {
			all = append(all, Match{Record: Record{Table: questionTables[ByContact], Name: string(ByContact), ID: company.ID}, Name: company.Name})
		}
	}
	return all
}

// ParseCompanies reads the answer to ContactArchive. next is where the next page begins, 0 for the last.
func (l Lookup) ParseCompanies(body []byte) (companies []Company, next int32, err error) {
	limit := l.limit()
	rows, more, err := archiveRows(body, "contactId", l.After, limit+1)
	if err != nil {
		return nil, 0, err
	}
	asked := len(rows) == 0
	for i := range rows {
		company := Company{ID: rows[i].id, Name: rows[i].text("name")}
		if rows[i].err != nil {
			return nil, 0, errColumns
		}
		// What a database takes for the same letter is its own; that no name at all has what was asked for is not.
		asked = asked || holdsFold(company.Name, pieces(l.Text)[0])
		companies = append(companies, company)
	}
	if !asked {
		return nil, 0, errFilter
	}
	if len(companies) > limit {
		companies, more = companies[:limit], true
	}
	if more && len(companies) > 0 {
		next = companies[len(companies)-1].ID
	}
	return companies, next, nil
}

// holdsFold reports whether a text holds a piece, without case.
func holdsFold(text, piece string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(piece))
}
