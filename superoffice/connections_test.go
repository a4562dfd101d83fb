package superoffice

import "testing"

func TestTheArchiveOfConnectionsSaysYesOrNoOrNothing(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"odata.metadata":"x","value":[{"PrimaryKey":"612","EntityName":"erpConnection","id":612,"active":true}]}`: "yes",
		`{"value":[{"Id":"612","Active":"True"}]}`:                      "yes",
		`{"value":[{"id":612,"active":1}]}`:                             "yes",
		`{"value":[{"id":612,"active":false}]}`:                         "no",
		`{"value":[{"id":612,"active":"0"}]}`:                           "no",
		`{"value":[]}`:                                                  "no",
		`{"value":[{"id":613,"active":true}]}`:                          "no",
		`{"value":[{"id":613,"active":true},{"id":612,"active":true}]}`: "yes",
		`{"value":[{"id":612}]}`:                                        "",
		`{"value":[{"id":612,"active":null}]}`:                          "",
		`{"value":[{"active":true}]}`:                                   "",
		`{"value":null}`:                                                "",
		`{}`:                                                            "",
		`[]`:                                                            "",
		`<html>`:                                                        "",
		``:                                                              "",
		`{"value":[{"id":6120000000000,"active":true}]}`: "",
	} {
		active, err := ParseConnectionArchive([]byte(body), 612)
		got := map[bool]string{true: "yes", false: "no"}[active]
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", body, got, err, want)
		}
	}
}
