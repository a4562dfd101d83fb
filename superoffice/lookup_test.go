package superoffice

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// filterOf returns the filter of an archive's path as the server decodes it.
func filterOf(t testing.TB, path string) string {
	t.Helper()
	_, raw, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(raw)
	if err != nil || len(query) != 4 || len(query["$filter"]) != 1 {
		t.Fatalf("%s: %v, %v", path, query, err)
	}
	return query.Get("$filter")
}

func TestALookupAsksForExactlyWhatWasAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lookup    Lookup
		companies []Company
		filter    string
	}{
		{Lookup{Question: ByERPKey, Connection: 612, Text: "10 & 0#+23"}, nil, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpKey eq '10 & 0#+23'"},
		{Lookup{Question: ByKey, Connection: 612, Number: 386, After: 7}, nil, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpInternalKeyId eq 386 and erpexternalkey.erpexternalkey_id gt 7"},
		{Lookup{Question: ByContact, Connection: 612, Number: 4711}, nil, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpInternalKeyId.tableId eq 5 and erpexternalkey.ErpInternalKeyId.recordId eq 4711"},
		{Lookup{Question: ByPerson, Connection: 612, Number: 1}, nil, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpInternalKeyId.tableId eq 6 and erpexternalkey.ErpInternalKeyId.recordId eq 1"},
		{Lookup{Question: ByProject, Connection: 612, Number: 1}, nil, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpInternalKeyId.tableId eq 9 and erpexternalkey.ErpInternalKeyId.recordId eq 1"},
		{Lookup{Question: ByName, Connection: 612, Text: "Uno", After: 9}, []Company{{1, "a"}, {2, "b"}}, "erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpInternalKeyId.tableId eq 5 and (erpexternalkey.ErpInternalKeyId.recordId eq 1 or erpexternalkey.ErpInternalKeyId.recordId eq 2)"},
	} {
		if err := c.lookup.Validate(); err != nil {
			t.Errorf("%+v: %v", c.lookup, err)
		}
		if got := filterOf(t, c.lookup.KeyArchive(c.companies)); got != c.filter {
			t.Errorf("%+v:\n%s\n%s", c.lookup, got, c.filter)
		}
	}
	for name, want := range map[string]string{
		"Uno AS":    "name begins 'Uno AS'",
		"O'Brien":   "name begins 'O' and name contains 'Brien'",
		"'t Hof":    "name contains 't Hof'",
		`100% \ "x`: "name begins '100' and name contains ' ' and name contains ' ' and name contains 'x'",
	} {
		l := Lookup{Question: ByName, Connection: 612, Text: name}
		if err := l.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := filterOf(t, l.ContactArchive()); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestALookupThatCannotBeAskedSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lookup Lookup
		field  string
	}{
		{Lookup{Question: ByKey, Number: 1}, "connection"},
		{Lookup{Question: ByKey, Connection: -1, Number: 1}, "connection"},
		{Lookup{Question: ByKey, Connection: 1}, "key"},
		{Lookup{Question: ByContact, Connection: 1, Number: -4}, "contact"},
		{Lookup{Question: ByContact, Connection: 1, Number: 4, Text: "x"}, "contact"},
		{Lookup{Question: ByERPKey, Connection: 1}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "1' or 1 eq 1"}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: `1\`}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "1%27"}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "1\uff07"}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: " 1"}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "1", Number: 2}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "a\x00b"}, "erp"},
		{Lookup{Question: ByERPKey, Connection: 1, Text: "a\xffb"}, "erp"},
		{Lookup{Question: ByName, Connection: 1, Text: "''"}, "name"},
		{Lookup{Question: ByName, Connection: 1, Text: strings.Repeat("a", MaxLookupText+1)}, "name"},
		{Lookup{Question: ByName, Connection: 1, Text: "a", Limit: MaxLookupNames + 1}, "limit"},
		{Lookup{Question: ByKey, Connection: 1, Number: 1, Limit: -1}, "limit"},
		{Lookup{Question: ByKey, Connection: 1, Number: 1, After: -1}, "after"},
		{Lookup{Connection: 1, Number: 1}, "question"},
	} {
		var wrong *LookupError
		if err := c.lookup.Validate(); !errors.As(err, &wrong) || wrong.Field != c.field {
			t.Errorf("%+v: %v", c.lookup, err)
		}
	}
}

// A text in quotes as each of the two grammars reads it.
var (
	doubled   = regexp.MustCompile(`'((?:[^']|'')*)'`)
	backslash = regexp.MustCompile(`'((?:[^'\\]|\\.)*)'`)
)

// Whatever is searched for, both readings of the filter find the same texts in it, and nothing but what was to be there.
func FuzzAValueStaysAValue(f *testing.F) {
	for _, text := range []string{"10023", "Uno AS", "O'Brien", `\`, `\'`, "'' or 1 eq 1", "x' or contactId gt 0 or name eq 'y", "%27", "&$top=1", "a#b", "\uff07", "Ærø", "\u2019", "1\n2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, question := range []Question{ByERPKey, ByName} {
			l := Lookup{Question: question, Connection: 612, Text: text}
			if l.Validate() != nil {
				continue
			}
			path, want := l.KeyArchive(nil), []string{text}
			if question == ByName {
				path, want = l.ContactArchive(), pieces(text)
			}
			filter := filterOf(t, path)
			for name, grammar := range map[string]*regexp.Regexp{"doubled": doubled, "backslash": backslash} {
				var found []string
				for _, match := range grammar.FindAllStringSubmatch(filter, -1) {
					found = append(found, match[1])
				}
				if strings.Join(found, "\x00") != strings.Join(want, "\x00") {
					t.Errorf("%s: %q finds %q in %q", name, text, found, filter)
				}
				bare := grammar.ReplaceAllString(filter, "V")
				if !regexp.MustCompile(`^(erpexternalkey\.ErpConnectionId eq 612 and erpexternalkey\.ErpKey eq V|name (begins|contains) V( and name contains V)*)$`).MatchString(bare) {
					t.Errorf("%s: %q makes the filter %q", name, text, filter)
				}
			}
			if strings.ContainsAny(filter, `\"%`) {
				t.Errorf("%q", filter)
			}
		}
	})
}

const row386 = `{"erpexternalkey.erpexternalkey_id":7,"erpexternalkey.ErpConnectionId":612,"erpexternalkey.ErpKey":"10023","erpexternalkey.ActorType":1,` +
	`"erpexternalkey.ErpInternalKeyId":386,"erpexternalkey.ErpInternalKeyId.tableId":5,"erpexternalkey.ErpInternalKeyId.recordId":40386}`

func answerOf(rows ...string) []byte {
	return []byte(`{"odata.metadata":"x","odata.nextLink":null,"value":[` + strings.Join(rows, ",") + `]}`)
}

func TestKeysAreReadAndAnythingElseIsAnErrorAndNoAbsence(t *testing.T) {
	t.Parallel()
	l := Lookup{Question: ByERPKey, Connection: 612, Text: "10023", Limit: 1}
	want := Match{ERPKey: "10023", Key: 386, Record: Record{Table: 5, Name: "contact", ID: 40386}, ActorType: 1}
	with := func(old, replacement string) string { return strings.Replace(row386, old, replacement, 1) }
	for name, body := range map[string][]byte{
		"as it is": answerOf(row386),
		"in texts": []byte(`{"value":[` + regexp.MustCompile(`:(\d+)`).ReplaceAllString(row386, `:"$1"`) + `]}`),
		"in another case, with another column, as a number": answerOf(strings.ToLower(with(`"10023"`, `10023,"PrimaryKey":"7"`))),
	} {
		matches, next, err := l.ParseKeys(body, nil)
		if err != nil || len(matches) != 1 || matches[0] != want || next != 0 {
			t.Errorf("%s: %+v %d %v", name, matches, next, err)
		}
	}
	if matches, next, err := l.ParseKeys(answerOf(), nil); err != nil || matches == nil || len(matches) != 0 || next != 0 {
		t.Errorf("nothing: %v %d %v", matches, next, err)
	}
	second := with(`_id":7`, `_id":9`)
	if matches, next, err := l.ParseKeys(answerOf(row386, second), nil); err != nil || len(matches) != 1 || next != 7 {
		t.Errorf("one more than a page: %v %d %v", matches, next, err)
	}
	if _, next, err := l.ParseKeys([]byte(`{"odata.nextLink":"http://x","value":[`+row386+`]}`), nil); err != nil || next != 7 {
		t.Errorf("a server with shorter pages: %d %v", next, err)
	}
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"a page":              {[]byte("<html>"), errNoRows},
		"no rows":             {[]byte(`{"Error":true}`), errNoRows},
		"null":                {[]byte(`null`), errNoRows},
		"rows of null":        {[]byte(`{"value":null}`), errNoRows},
		"a list":              {[]byte(`[` + row386 + `]`), errNoRows},
		"half an answer":      {answerOf(row386)[:40], errNoRows},
		"a row of null":       {answerOf("null"), errColumns},
		"no id":               {answerOf(with(`"erpexternalkey.erpexternalkey_id":7,`, "")), errColumns},
		"no key":              {answerOf(with(`"erpexternalkey.ErpInternalKeyId":386,`, "")), errColumns},
		"a key of null":       {answerOf(with(`Id":386`, `Id":null`)), errColumns},
		"a key in words":      {answerOf(with(`Id":386`, `Id":"Uno AS"`)), errColumns},
		"a fraction":          {answerOf(with(`Id":386`, `Id":386.5`)), errColumns},
		"a negative key":      {answerOf(with(`Id":386`, `Id":-386`)), errColumns},
		"a key of 64 bits":    {answerOf(with(`Id":386`, `Id":4294967682`)), errColumns},
		"an ERP number null":  {answerOf(with(`"10023"`, `null`)), errColumns},
		"another connection":  {answerOf(with(`612`, `613`)), errFilter},
		"another ERP number":  {answerOf(with(`10023`, `10024`)), errFilter},
		"more than was asked": {answerOf(row386, second, with(`_id":7`, `_id":10`)), errTooMany},
		"not in order":        {answerOf(second, row386), errOrder},
		"the same row twice":  {answerOf(row386, row386), errOrder},
		"too long":            {append(answerOf(row386), make([]byte, MaxLookupAnswer)...), errTooLarge},
	} {
		if matches, _, err := l.ParseKeys(c.body, nil); !errors.Is(err, c.want) || matches != nil {
			t.Errorf("%s: %v %v", name, matches, err)
		}
	}
	l.After = 7
	if _, _, err := l.ParseKeys(answerOf(row386), nil); !errors.Is(err, errOrder) {
		t.Errorf("a row of the page before: %v", err)
	}
	for question, number := range map[Question]int32{ByKey: 386, ByContact: 40386} {
		l := Lookup{Question: question, Connection: 612, Number: number}
		if matches, _, err := l.ParseKeys(answerOf(row386), nil); err != nil || len(matches) != 1 {
			t.Errorf("%s: %v %v", question, matches, err)
		}
		l.Number++
		if _, _, err := l.ParseKeys(answerOf(row386), nil); !errors.Is(err, errFilter) {
			t.Errorf("another %s: %v", question, err)
		}
	}
	if _, _, err := (Lookup{Question: ByPerson, Connection: 612, Number: 40386}).ParseKeys(answerOf(row386), nil); !errors.Is(err, errFilter) {
		t.Errorf("a contact is no person: %v", err)
	}
}

func TestCompaniesAreNamedWithTheirKeysAndWithoutWhereTheyHaveNone(t *testing.T) {
	t.Parallel()
	l := Lookup{Question: ByName, Connection: 612, Text: "uno", Limit: 2}
	companies, next, err := l.ParseCompanies(answerOf(`{"contactId":40000,"name":"Uno Nuevo"}`, `{"contactId":40386,"name":"UNO AS"}`, `{"contactId":40999,"name":"Uno 3"}`))
	if err != nil || len(companies) != 2 || next != 40386 {
		t.Fatalf("%v %d %v", companies, next, err)
	}
	matches, again, err := l.ParseKeys(answerOf(row386), companies)
	if err != nil || again != 0 || len(matches) != 2 || matches[0] != (Match{Record: Record{5, "contact", 40000}, Name: "Uno Nuevo"}) || matches[1].Key != 386 || matches[1].Name != "UNO AS" {
		t.Errorf("%+v %d %v", matches, again, err)
	}
	if _, _, err := l.ParseKeys(answerOf(row386), companies[:1]); !errors.Is(err, errFilter) {
		t.Errorf("a company that was not asked for: %v", err)
	}
	if _, _, err := l.ParseKeys([]byte(`{"odata.nextLink":"x","value":[`+row386+`]}`), companies); !errors.Is(err, errTooMany) {
		t.Errorf("half of the keys: %v", err)
	}
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"nobody of the name": {answerOf(`{"contactId":1,"name":"Dos"}`, `{"contactId":2,"name":"Tres"}`), errFilter},
		"a name of null":     {answerOf(`{"contactId":1,"name":null}`), errColumns},
		"no id":              {answerOf(`{"name":"Uno"}`), errColumns},
	} {
		if companies, _, err := l.ParseCompanies(c.body); !errors.Is(err, c.want) || companies != nil {
			t.Errorf("%s: %v %v", name, companies, err)
		}
	}
	if companies, _, err := l.ParseCompanies(answerOf()); err != nil || len(companies) != 0 {
		t.Errorf("nobody: %v %v", companies, err)
	}
}

func TestAnyKeyIsFoundAgainByItself(t *testing.T) {
	t.Parallel()
	if filter := filterOf(t, AnyKeyArchive()); filter != "erpexternalkey.erpexternalkey_id gt 0" {
		t.Error(filter)
	}
	again, found, err := ParseAnyKey(answerOf(row386))
	if err != nil || !found || again != (Lookup{Question: ByKey, Connection: 612, Number: 386}) {
		t.Errorf("%+v %t %v", again, found, err)
	}
	if _, found, err := ParseAnyKey(answerOf()); err != nil || found {
		t.Errorf("no row: %t %v", found, err)
	}
	for name, body := range map[string][]byte{"no answer": []byte("<html>"), "no connection": answerOf(strings.Replace(row386, ":612", ":0", 1)), "no key": answerOf(strings.Replace(row386, ":386", ":null", 1))} {
		if _, found, err := ParseAnyKey(body); err == nil || found {
			t.Errorf("%s: %t %v", name, found, err)
		}
	}
}
