package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// archived asks an archive, as an app that was never granted the agent, and returns its rows.
func (o *office) archived(path string, query url.Values) ([]map[string]any, reply) {
	o.t.Helper()
	got := o.do(http.MethodGet, api+path+"?"+strings.ReplaceAll(query.Encode(), "+", "%20"), "", o.bearer("quote"))
	var answer struct{ Value []map[string]any }
	_ = json.Unmarshal([]byte(got.body), &answer)
	return answer.Value, got
}

func TestAnERPNumberLeadsToItsKeyAndItsRecordAndNoneIsAnother(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	found, got := o.archived("archive/Dynamic", url.Values{
		"$select": {"erpexternalkey.ErpKey,erpexternalkey.ErpInternalKeyId,erpexternalkey.ErpInternalKeyId.tableId,erpexternalkey.ErpInternalKeyId.recordId"},
		"$filter": {"erpexternalkey.ErpConnectionId eq 612 and erpexternalkey.ErpKey eq '100386'"},
	})
	if len(found) != 1 || found[0]["erpexternalkey.ErpInternalKeyId"] != 386.0 || found[0]["erpexternalkey.ErpInternalKeyId.recordId"] != 40386.0 || found[0]["erpexternalkey.ErpInternalKeyId.tableId"] != 5.0 {
		t.Fatalf("%s", got.body)
	}
	companies, got := o.archived("archive/Contact", url.Values{"$select": {"contactId,name"}, "$filter": {"name begins 'uno'"}})
	if len(companies) != 1 || companies[0]["contactId"] != 40386.0 || companies[0]["name"] != "Uno AS" {
		t.Fatalf("%s", got.body)
	}
	contact := fmt.Sprint(int(companies[0]["contactId"].(float64)))
	back, _ := o.archived("archive/dynamic", url.Values{
		"$select": {"erpexternalkey.ErpInternalKeyId,erpexternalkey.ErpKey"},
		"$filter": {"erpexternalkey.ErpInternalKeyId.tableId eq 5 and erpexternalkey.ErpInternalKeyId.recordId eq " + contact + " and erpexternalkey.ErpConnectionId eq 613"},
	})
	if len(back) != 1 || back[0]["erpexternalkey.ErpInternalKeyId"] != 386.0 || back[0]["erpexternalkey.ErpKey"] != "F-100386" {
		t.Errorf("the record leads to %v", back)
	}

	// The record of a key is what a resync reports …
	ran := o.do(http.MethodPost, resync, `{"ErpConnectionId":612,"InternalKeyIds":[386]}`, o.bearer("portal"))
	if ran.field("IsOk") != true || !strings.Contains(ran.body, `"Tablename":"contact","RecordId":40386`) {
		t.Errorf("key 386: %s", ran.body)
	}
	// … and neither its id nor its ERP number is a key.
	for _, wrong := range []string{contact, "100386"} {
		ran = o.do(http.MethodPost, resync, `{"ErpConnectionId":612,"InternalKeyIds":[`+wrong+`]}`, o.bearer("portal"))
		if ran.status != 200 || ran.field("IsOk") != false || ran.field("ErrorCode") != "INTERNAL_KEY_NOT_FOUND" {
			t.Errorf("%s sent as a key: %s", wrong, ran.body)
		}
	}
	o.on("unknown_key", "ignored")
	ran = o.do(http.MethodPost, resync, `{"ErpConnectionId":612,"InternalKeyIds":[`+contact+`,386]}`, o.bearer("portal"))
	if ran.field("IsOk") != true || strings.Count(ran.body, "RecordId") != 1 {
		t.Errorf("ignored: %s", ran.body)
	}
}

func TestNoInternalKeyIsTheIDOfARecord(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	keys, records := map[float64]bool{}, map[float64]bool{}
	for skip := 0; ; skip += 1000 {
		page, got := o.archived("archive/dynamic", url.Values{
			"$select": {"erpexternalkey.ErpInternalKeyId,erpexternalkey.ErpInternalKeyId.recordId"}, "$filter": {"erpexternalkey.ErpConnectionId eq 612"}, "$skip": {fmt.Sprint(skip)},
		})
		for _, row := range page {
			keys[row["erpexternalkey.ErpInternalKeyId"].(float64)] = true
			records[row["erpexternalkey.ErpInternalKeyId.recordId"].(float64)] = true
		}
		if got.field("odata.nextLink") == nil {
			break
		}
	}
	if len(keys) != 9999 || len(records) != 9999 {
		t.Fatalf("%d keys, %d records", len(keys), len(records))
	}
	for key := range keys {
		if records[key] {
			t.Fatalf("key %v is a record's id too", key)
		}
	}
}

func TestAnArchiveIsPagedAndSaysWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	rows, got := o.archived("archive/contact", url.Values{"$select": {"contactId"}, "$top": {"2"}, "$skip": {"1"}, "$filter": {"contactId gt 40010"}})
	if len(rows) != 2 || rows[0]["contactId"] != 40012.0 || rows[0]["PrimaryKey"] != "40012" || rows[0]["EntityName"] != "contact" {
		t.Errorf("%s", got.body)
	}
	next, err := url.Parse(fmt.Sprint(got.field("odata.nextLink")))
	if err != nil || next.Query().Get("$skip") != "3" || next.Query().Get("$top") != "2" {
		t.Errorf("the next page is %v", next)
	}
	for name, query := range map[string]url.Values{
		"a column that there is not":  {"$select": {"nothing"}},
		"a filter on one":             {"$filter": {"nothing eq 1"}},
		"a filter that is not parsed": {"$filter": {"name like 'x'"}},
		"half a filter":               {"$filter": {"contactId eq 1 or 2"}},
		"half a bracket":              {"$filter": {"(contactId eq 1 or contactId eq 2"}},
		"a bracket too many":          {"$filter": {"contactId eq 1)"}},
		"a quote that ends nothing":   {"$filter": {"name eq 'a"}},
		"an order by nothing":         {"$orderBy": {"nothing"}},
		"a page of minus one":         {"$top": {"-1"}},
	} {
		if rows, got := o.archived("archive/contact", query); got.status != 400 || rows != nil {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if rows, _ := o.archived("archive/contact", url.Values{"$select": {"contactId"}, "$top": {"5000"}}); len(rows) != 1000 {
		t.Errorf("a page of %d rows", len(rows))
	}
	if _, got := o.archived("archive/dynamic", nil); got.status != 400 {
		t.Errorf("Dynamic without $select: %d", got.status)
	}
	if got := o.do(http.MethodGet, api+"archive/contact", "", nil).status; got != 401 {
		t.Errorf("nobody reads an archive: HTTP %d", got)
	}
	for filter, want := range map[string]int{
		"name eq 'uno as'": 1, "startswith(name, 'Uno')": 1, "contains(name,'s A')": 1, "name contains 'AB'": 1, "contactId ne 40386 and contactId le 40386 and contactId ge 40385": 1, "contactId lt 40003": 2,
		"(contactId eq 40386 or contactId eq 40230) and name begins 'Uno'": 1, "contactId eq 40386 or contactId eq 40230 and name eq 'nobody'": 1, "(name eq 'Uno AS')": 1,
	} {
		if rows, got := o.archived("archive/contact", url.Values{"$filter": {filter}, "$select": {"name"}}); len(rows) != want {
			t.Errorf("%s: %d rows, %.300s", filter, len(rows), got.body)
		}
	}
}

func TestConnectionsAreListedWithAndWithoutTheAgent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	rows, got := o.archived("archive/ErpConnection", url.Values{"$select": {"id,name,active"}})
	if len(rows) != 3 || rows[0]["name"] != "Visma" || rows[0]["active"] != true || rows[2]["active"] != false {
		t.Errorf("%s", got.body)
	}
	if rows, _ := o.archived("archive/ErpConnection", url.Values{"$select": {"id,deleted"}, "$entities": {"deleted"}}); len(rows) != 1 || rows[0]["deleted"] != true {
		t.Errorf("deleted: %v", rows)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(o.do(http.MethodGet, api+"MDOList/erpconnections", "", o.bearer("quote")).body), &list); err != nil || len(list) != 3 || list[0]["Id"] != 612.0 || list[0]["ExtraInfo"] == "" {
		t.Errorf("%v %v", list, err)
	}
	agent := func(operation, body string) string {
		return o.do(http.MethodPost, api+"Agents/ErpSync/"+operation, body, o.bearer("portal")).body
	}
	if all, some := agent("GetAllConnections", `{"includeDeleted":true}`), agent("GetAllConnections", `{}`); strings.Count(all, "ErpConnectionId") != 4 || strings.Count(some, "ErpConnectionId") != 3 {
		t.Errorf("%s\n%s", all, some)
	}
	for body, want := range map[string]string{`{"ErpConnectionId":612}`: "true", `{"erpConnectionId":613}`: "false", `{"ErpConnectionId":1}`: "false"} {
		if got := agent("TestConnectionById", body); got != want {
			t.Errorf("TestConnectionById %s: %s", body, got)
		}
	}
	o.on("erp", "gone")
	if got := agent("TestConnectionById", `{"ErpConnectionId":612}`); got != "false" {
		t.Errorf("with the ERP gone: %s", got)
	}
	o.defaults()

	summary := func(id int) reply {
		return o.do(http.MethodPost, api+"Agents/ErpSync/GetErpSyncConnectionSummary", fmt.Sprintf(`{"ErpSyncConnectionId":%d}`, id), o.bearer("portal"))
	}
	if got := summary(612); got.field("Active") != true || got.field("Deleted") != false || got.field("LastSync") != "0001-01-01T00:00:00" {
		t.Errorf("612: %s", got.body)
	}
	if got := summary(614); got.field("Active") != false {
		t.Errorf("614: %s", got.body)
	}
	if got := summary(615); got.field("Deleted") != true {
		t.Errorf("615: %s", got.body)
	}
	if got := summary(1).body; got != "null" {
		t.Errorf("1: %s", got)
	}
	o.do(http.MethodPost, resync, seed, o.bearer("portal"))
	if got := summary(612).field("LastSync"); got != o.clock.Now().UTC().Format("2006-01-02T15:04:05") {
		t.Errorf("LastSync %v", got)
	}
	for id, code := range map[int]string{613: "CONNECTOR_TIMEOUT", 614: "CONNECTION_INACTIVE", 615: "CONNECTION_NOT_FOUND", 1: "CONNECTION_NOT_FOUND"} {
		got := o.do(http.MethodPost, resync, fmt.Sprintf(`{"ErpConnectionId":%d,"InternalKeyIds":[386]}`, id), o.bearer("portal"))
		if got.field("IsOk") != false || got.field("ErrorCode") != code {
			t.Errorf("a resync through %d: %s", id, got.body)
		}
	}
}

func TestAFilterTakesAQuoteInTheFormThatTheSwitchSays(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range []struct {
		quote, filter string
		status        int
	}{
		{"backslash", `name eq 'a\'b'`, 200},
		{"backslash", `name eq 'a\\'`, 200},
		{"backslash", `name eq 'a''b'`, 400},
		{"doubled", `name eq 'a''b'`, 200},
		{"doubled", `name eq 'a\'`, 200},
		{"doubled", `name eq 'a\'b'`, 400},
	} {
		o.on("filter_quote", c.quote)
		if rows, got := o.archived("archive/contact", url.Values{"$filter": {c.filter}}); got.status != c.status || len(rows) != 0 {
			t.Errorf("%s: %s: %d %.200s", c.quote, c.filter, got.status, got.body)
		}
	}
}

func TestTheArchivesOfKeysAnswerAsTheSwitchSays(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	query := url.Values{"$select": {"contactId"}, "$filter": {"contactId gt 40383 and contactId lt 40387"}, "$orderBy": {"contactId"}}
	for how, want := range map[string][]any{"typed": {40384.0, 40385.0, 40386.0}, "texts": {"40384", "40385", "40386"}, "unordered": {40386.0, 40385.0, 40384.0}} {
		o.on("key_archives", how)
		rows, got := o.archived("archive/contact", query)
		for i := range want {
			if len(rows) != len(want) || rows[i]["contactId"] != want[i] {
				t.Errorf("%s: %s", how, got.body)
			}
		}
	}
	o.on("key_archives", "unfiltered")
	if rows, _ := o.archived("archive/contact", query); len(rows) != 1000 {
		t.Errorf("unfiltered: %d rows", len(rows))
	}
	for _, path := range []string{"archive/contact", "archive/dynamic"} {
		for how, status := range map[string]int{"403": 403, "404": 404, "html": 200} {
			o.on("key_archives", how)
			if rows, got := o.archived(path, query); got.status != status || rows != nil {
				t.Errorf("%s %s: %d %s", path, how, got.status, got.body)
			}
		}
	}
}
