package history_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// rowOf returns the row that a call with that body leaves.
func rowOf(t *testing.T, op superoffice.Operation, body string) history.Row {
	t.Helper()
	a, err := superoffice.ReadArguments(op, nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return history.Row{
		RequestID: "r", Environment: "online", Tenant: "Cust12345", Operation: op, Understood: true, Connection: a.Connection, Everything: a.Everything, ActorType: a.ActorType, Stated: a.Stated,
		Keys: history.PackKeys(&a), KeyCount: len(a.Keys) + len(a.ExternalKeys), Outcome: outcome.Error,
	}
}

func TestARowMakesItsCallOnceMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op             superoffice.Operation
		body, document string
		imported       string // the document of a row that does not say what was stated
	}{
		{superoffice.ForceResync, `{"InternalKeyIds":[386,230,386],"ErpConnectionId":612}`, `{"ErpConnectionId":612,"InternalKeyIds":[386,230,386]}`, ""},
		{superoffice.ForceResyncNoBlankValues, `{"InternalKeyIds":[-1]}`, `{"InternalKeyIds":[-1]}`, `{"ErpConnectionId":0,"InternalKeyIds":[-1]}`},
		{superoffice.ForceResync, `{"ErpConnectionId":-5,"InternalKeyIds":[7]}`, `{"ErpConnectionId":-5,"InternalKeyIds":[7]}`, ""},
		{superoffice.ForceResyncBatchTask, `{"ErpConnectionId":612}`, `{"ErpConnectionId":612}`, `{"ErpConnectionId":612,"InternalKeyIds":null}`},
		{superoffice.ForceResync, `{}`, `{"ErpConnectionId":0,"InternalKeyIds":null}`, ""},
		{superoffice.ForceResyncExternal, `{"ErpActorType":"Customer","ExternalKeys":["K1","ä\"\\"],"ErpConnectionId":612}`, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":["K1","ä\"\\"]}`, ""},
		{superoffice.SyncAll, ``, ``, ""},
	} {
		row := rowOf(t, c.op, c.body)
		for range 2 {
			a, err := row.Call()
			if document := string(superoffice.Document(c.op, a)); err != nil || document != c.document {
				t.Errorf("%s %s: %s, %v", c.op, c.body, document, err)
			}
			row.Stated = 0
			if c.imported != "" {
				c.document = c.imported
			}
		}
	}
}

func TestARowThatLacksPartOfItsCallMakesNone(t *testing.T) {
	t.Parallel()
	whole := rowOf(t, superoffice.ForceResync, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`)
	if _, err := whole.Call(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*history.Row){
		"only the first keys":       func(r *history.Row) { r.Partial = true },
		"not understood":            func(r *history.Row) { r.Understood = false },
		"fewer keys than there are": func(r *history.Row) { r.KeyCount = 3 },
	} {
		r := whole
		change(&r)
		if _, err := r.Call(); !errors.Is(err, history.ErrIncomplete) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*history.Row){
		"keys that were not stated":        func(r *history.Row) { r.Stated = superoffice.ConnectionProperty },
		"a connection that was not stated": func(r *history.Row) { r.Stated = superoffice.InternalKeysProperty },
		"keys of another kind":             func(r *history.Row) { r.Operation = superoffice.ForceResyncExternal; r.Stated = 0 },
		"no keys and not everything":       func(r *history.Row) { r.Keys, r.KeyCount = []byte{0}, 0 },
		"keys and everything":              func(r *history.Row) { r.Everything = true },
		"an operation without keys":        func(r *history.Row) { r.Operation = superoffice.SyncAll },
		"packed otherwise":                 func(r *history.Row) { r.Keys = []byte{9} },
	} {
		r := whole
		change(&r)
		if a, err := r.Call(); err == nil {
			t.Errorf("%s: %s", name, superoffice.Document(r.Operation, a))
		}
	}
}

func TestALaterCallInTheOtherDirectionTurnsWhatItNames(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_795_000_000, 0)
	made := func(op superoffice.Operation, body string, began int) history.Row {
		r := rowOf(t, op, body)
		r.RequestID, r.Started, r.Ended = fmt.Sprint(began), at.Add(time.Duration(began)*time.Second), at.Add(time.Duration(began+1)*time.Second)
		return r
	}
	const full, external = superoffice.ForceResync, superoffice.ForceResyncExternal
	failed := []history.Row{
		0: made(full, `{"ErpConnectionId":612,"InternalKeyIds":[1,2]}`, 10),
		1: made(full, `{"ErpConnectionId":613,"InternalKeyIds":[2]}`, 10),
		2: made(full, `{"InternalKeyIds":[1]}`, 10),
		3: made(full, `{"ErpConnectionId":612}`, 10),
		4: made(external, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":["1"]}`, 10),
		5: made(superoffice.SyncAll, ``, 10),
	}
	other := made(full, `{"InternalKeyIds":[1,2]}`, 20)
	other.Tenant = "Cust54321"
	environment := made(full, `{"InternalKeyIds":[1,2]}`, 20)
	environment.Environment = "sod"
	for name, c := range map[string]struct {
		later  history.Row
		turned []int
	}{
		"a key from the CRM":                {made(full, `{"InternalKeyIds":[2]}`, 20), []int{0, 1, 3}},
		"a connection that is not positive": {made(full, `{"ErpConnectionId":-1,"InternalKeyIds":[1]}`, 20), []int{0, 3}},
		"from another connection":           {made(full, `{"ErpConnectionId":614,"InternalKeyIds":[1]}`, 20), []int{2}},
		"another key":                       {made(full, `{"InternalKeyIds":[9]}`, 20), []int{3}},
		"everything from the CRM":           {made(full, `{"InternalKeyIds":[]}`, 20), []int{0, 1, 3, 4}},
		"everything from a connection":      {made(full, `{"ErpConnectionId":612}`, 20), []int{2}},
		"an external key":                   {made(external, `{"ErpActorType":"Customer","ExternalKeys":["1"]}`, 20), []int{3, 4}},
		"one of another actor":              {made(external, `{"ErpActorType":"Supplier","ExternalKeys":["1"]}`, 20), []int{3}},
		"in the form without blank values":  {made(superoffice.ForceResyncNoBlankValues, `{"InternalKeyIds":[2]}`, 20), []int{0, 1, 3}},
		"begun before it was over":          {made(full, `{"InternalKeyIds":[1,2]}`, 10), nil},
		"begun as it was over":              {made(full, `{"InternalKeyIds":[2]}`, 11), []int{0, 1, 3}},
		"no direction":                      {made(superoffice.ForceSyncAll, ``, 20), nil},
		"another tenant":                    {other, nil},
		"another environment":               {environment, nil},
	} {
		var calls []*history.Row
		for i := range failed {
			calls = append(calls, &failed[i])
		}
		turned, err := history.NewTurned(calls)
		if err == nil {
			err = turned.Later(&c.later)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range failed {
			if by := turned.By(i); (by == c.later.RequestID) != slices.Contains(c.turned, i) {
				t.Errorf("%s: call %d is turned by %q", name, i, by)
			}
		}
	}
}
