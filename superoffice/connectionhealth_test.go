package superoffice

import (
	"testing"
	"time"
)

func TestASummaryIsReadOrAnErrorAndNoAbsence(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		summary      ConnectionSummary
		known, fails bool
	}{
		`{"Active":true,"Deleted":false,"LastSync":"2026-11-27T04:00:00"}`:    {ConnectionSummary{Active: true, LastSync: time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)}, true, false},
		`{"Active":true,"Deleted":false,"LastSync":"2026-11-27T04:00:00.5Z"}`: {ConnectionSummary{Active: true, LastSync: time.Date(2026, 11, 27, 4, 0, 0, 5e8, time.UTC)}, true, false},
		`{"Active":false,"Deleted":true,"LastSync":"0001-01-01T00:00:00"}`:    {ConnectionSummary{Deleted: true}, true, false},
		`{"Active":true,"Deleted":false,"LastSync":null,"DisplayName":"x"}`:   {ConnectionSummary{Active: true}, true, false},
		`null`:                           {},
		`{}`:                             {fails: true},
		`{"Error":true}`:                 {fails: true},
		`<html>`:                         {fails: true},
		`[]`:                             {fails: true},
		`{"Active":"x","Deleted":false}`: {fails: true},
		`{"Active":true,"Deleted":false,"LastSync":"soon"}`: {fails: true},
	} {
		summary, known, err := ParseConnectionSummary([]byte(body))
		if !summary.LastSync.Equal(want.summary.LastSync) || summary.Active != want.summary.Active || summary.Deleted != want.summary.Deleted || known != want.known || (err != nil) != want.fails {
			t.Errorf("%s: %+v %t %v", body, summary, known, err)
		}
	}
	for body, want := range map[string]struct{ reached, fails bool }{"true": {true, false}, " false\n": {false, false}, "null": {false, true}, "<html>": {false, true}, "": {false, true}, `"true"`: {false, true}} {
		if reached, err := ParseTestConnection([]byte(body)); reached != want.reached || (err != nil) != want.fails {
			t.Errorf("%s: %t %v", body, reached, err)
		}
	}
}
