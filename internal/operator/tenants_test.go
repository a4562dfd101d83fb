package operator

import (
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/google/go-cmp/cmp"
)

func TestAnImportIsReadWhateverWroteIt(t *testing.T) {
	t.Parallel()
	want := []report.ImportTenant{{Line: 2, Tenant: "Cust1", Name: "Uno, AS", SystemToken: "App 1-a"}, {Line: 3, Tenant: "Cust2", SystemToken: "App 1-b"}}
	for name, text := range map[string]string{
		"commas":            "tenant,name,system_token\nCust1,\"Uno, AS\",App 1-a\nCust2,,App 1-b\n",
		"a spreadsheet":     "\xef\xbb\xbfTenant;Name;System_Token\r\nCust1;Uno, AS;App 1-a\r\nCust2;;App 1-b\r\n",
		"further columns":   "since,system_token,tenant,name\n2020, App 1-a ,Cust1,\"Uno, AS\"\n2021,App 1-b, Cust2,\n",
		"a quoted new line": "tenant,name,system_token\nCust1,\"Uno, AS\",App 1-a\nCust2,,App 1-b",
	} {
		got, err := readTenants([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	want[0].Line, want[1].Line = 1, 1
	for name, text := range map[string]string{
		"a tenants file": `{"$schema":"x","tenants":[{"tenant":"Cust1","name":"Uno, AS","system_token":"App 1-a","connections":[612]},{"tenant":"Cust2","system_token":"App 1-b","suspended":true}]}`,
		"a list":         ` [{"tenant":"Cust1","name":"Uno, AS","system_token":"App 1-a"},{"tenant":"Cust2","system_token":"App 1-b"}]`,
	} {
		got, err := readTenants([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestAnImportThatCannotBeReadIsRefusedByItsLineAndShowsNoToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "empty",
		"Cust1,secret\n":                      "line 1: want a header",
		"tenant,system_token\n":               "only a header",
		"tenant,system_token\nCust1\n":        "line 2: wrong number of fields",
		"tenant,system_token\nCust1,\"secret": "line 2",
		"{\"tenants\": [\n{\"tenant\" \"secret\"}]}": "line 2: no JSON",
		`{"tenants": "secret"}`:                      "want {",
		`{"tenants": []}`:                            "no tenants",
		`{}`:                                         "no tenants",
	} {
		_, err := readTenants([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestAnImportNamesTheLineOfEachEntry(t *testing.T) {
	t.Parallel()
	got, err := readTenants([]byte("\n\n{\n\t\"environment\": {\"x\": [1]},\n\t\"tenants\": [\n\t\t{\"tenant\": \"Cust1\",\n\t\t \"sealed\": \"A\", \"line\": 99},\n\n\t\t{\"tenant\": \"Cust2\", \"sealed\": \"B\"}\n\t]\n}"))
	if err != nil || len(got) != 2 || got[0].Line != 6 || got[1].Line != 9 {
		t.Errorf("%+v %v", got, err)
	}
}

func FuzzReadTenants(f *testing.F) {
	f.Add([]byte("tenant,system_token\nCust1,App 1-a\n"))
	f.Add([]byte("\xef\xbb\xbftenant;name;system_token\r\nCust1;Uno;App 1-a\r\n"))
	f.Add([]byte(`{"tenants":[{"tenant":"Cust1","sealed":"AAAA"}]}`))
	f.Add([]byte(`[{"tenant":1}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tenants, err := readTenants(raw)
		if (err == nil) != (len(tenants) > 0) {
			t.Errorf("%d tenants and %v", len(tenants), err)
		}
		for _, tenant := range tenants {
			if tenant.Line < 1 {
				t.Errorf("line %d", tenant.Line)
			}
		}
	})
}
