package operator

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestFindRefusesWhatCannotBeMeantBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	address, asked := answering(t, 200, report.Found{})
	for want, args := range map[string][]string{
		"want one of --erp":                                 {"erp", "Cust12345", "--connection", "612"},
		"want one of --erp, --key":                          {"erp", "Cust12345", "--connection", "612", "--erp", "1", "--key", "2"},
		"--connection: want an ERP connection's number":     {"erp", "Cust12345", "--erp", "1"},
		"--erp: is empty":                                   {"erp", "Cust12345", "--connection", "612", "--erp", ""},
		`--erp: has one of ' " \ %`:                         {"erp", "Cust12345", "--connection", "612", "--erp", "1' or 1 eq 1"},
		"--contact: want a number above zero":               {"erp", "Cust12345", "--connection", "612", "--contact", "0"},
		"--limit: want 1 to 10":                             {"erp", "Cust12345", "--connection", "612", "--name", "Uno", "--limit", "11"},
		"want a tenant of the form Cust12345":               {"erp", "Uno", "--connection", "612", "--key", "1"},
		"the app comes first":                               {"Cust12345", "erp", "--connection", "612", "--key", "1"},
		"invalid argument \"4711x\" for \"--contact\" flag": {"erp", "Cust12345", "--connection", "612", "--contact", "4711x"},
	} {
		if _, _, err := runs(t, findCommand(), append(args, "--address", address)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if *asked != 0 {
		t.Errorf("%d questions", *asked)
	}
}

func TestFindShowsTheKeyItsRecordAndWhatIsInferred(t *testing.T) {
	t.Parallel()
	found := report.Found{Question: superoffice.ByName, Connection: 612, Next: 40386, Inferred: "Inferred, not documented: x", Matches: []superoffice.Match{
		{ERPKey: "100386", Key: 386, Record: superoffice.Record{Table: 5, Name: "contact", ID: 40386}, Name: "Uno AS"},
		{Record: superoffice.Record{Table: 5, Name: "contact", ID: 40999}, Name: "Uno Nuevo\x1b[31m"},
		{ERPKey: "7", Key: 7, Record: superoffice.Record{Table: 77, ID: 1}},
	}}
	address, _ := answering(t, 200, found)
	args := []string{"erp", "Cust12345", "--connection", "612", "--name", "Uno", "--address", address}
	out, _, err := runs(t, findCommand(), args...)
	for _, want := range []string{"386   100386      contact 40386  Uno AS", "none  -           contact 40999  Uno Nuevo", "table 77 1", "--after 40386", "Inferred, not documented: x"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%q is not in %v\n%s", want, err, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a control character is printed")
	}
	out, _, err = runs(t, findCommand(), append(args, "--json")...)
	var again report.Found
	if err != nil || json.Unmarshal([]byte(out), &again) != nil || len(again.Matches) != 3 || again.Matches[0] != found.Matches[0] {
		t.Errorf("%v %s", err, out)
	}
}

func TestFindSaysThatNothingWasFound(t *testing.T) {
	t.Parallel()
	address, _ := answering(t, 200, report.Found{Connection: 612, Matches: []superoffice.Match{}, Inferred: "Inferred"})
	out, _, _ := runs(t, findCommand(), "erp", "Cust12345", "--connection", "612", "--erp", "1", "--address", address)
	if !strings.Contains(out, "Nothing was found behind connection 612.") || !strings.Contains(out, "Inferred") {
		t.Error(out)
	}
	address, _ = answering(t, 502, map[string]string{"error": "lookup_failed (the archive answered HTTP 403): see"})
	out, _, err := runs(t, findCommand(), "erp", "Cust12345", "--connection", "612", "--erp", "1", "--address", address)
	if err == nil || !strings.Contains(err.Error(), "find: lookup_failed (the archive answered HTTP 403)") || out != "" {
		t.Errorf("%q %v", out, err)
	}
}
