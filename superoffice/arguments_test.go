package superoffice

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestABodyIsUnderstoodAsSuperOfficeWouldOrRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	const js, xm, form = "application/json; charset=utf-8", "application/xml", "application/x-www-form-urlencoded"
	seed := Arguments{Connection: 612, Keys: []int32{386, 230}}
	everything := Arguments{Connection: 612, Everything: true}
	for _, c := range []struct {
		op          Operation
		contentType string
		body        string
		want        Arguments
		problem     string
	}{
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seed, ""},
		{ForceResync, js, `{"erpConnectionId":612,"internalKeyIds":[386,230]}`, seed, ""},
		{ForceResync, "", `{"ERPCONNECTIONID":612,"INTERNALKEYIDS":[386,230]}`, seed, ""},
		{ForceResync, "text/json", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seed, ""},
		{ForceResync, "application/merge-patch+json", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seed, ""},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, everything, ""},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":null}`, everything, ""},
		{ForceResync, js, `{"ErpConnectionId":612}`, everything, ""},
		{ForceResync, js, ``, Arguments{Everything: true}, ""},
		{ForceResync, js, `null`, Arguments{Everything: true}, ""},
		{ForceResync, js, `{"ErpConnectionId":-1,"InternalKeyIds":[1]}`, Arguments{Connection: -1, Keys: []int32{1}}, ""},
		{ForceResync, js, `{"Other":{"a":[1,{"b":2}]},"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seed, ""},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[386,"230"]}`, Arguments{}, "/InternalKeyIds/1: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[386,2147483648]}`, Arguments{}, "/InternalKeyIds/1: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[386.0]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[1e2]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[-0]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":[null]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"InternalKeyIds":386}`, Arguments{}, "/InternalKeyIds: not a list"},
		{ForceResync, js, `{"ErpConnectionId":"612"}`, Arguments{}, "/ErpConnectionId: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":null}`, Arguments{}, "/ErpConnectionId: not an int32"},
		{ForceResync, js, `{"ErpConnectionId":612,"erpconnectionid":613}`, Arguments{}, "/ErpConnectionId: stands in the body twice"},
		{ForceResync, js, `{"InternalKeyIds":[1],"internalKeyIds":[]}`, Arguments{}, "/InternalKeyIds: stands in the body twice"},
		{ForceResync, js, `{"InternalKeyIdſ":[1]}`, Arguments{}, "a property's name is spelled with letters outside ASCII"},
		{ForceResync, js, `{"InternalKeyId\u017f":[1]}`, Arguments{}, "a property's name is spelled with letters outside ASCII"},
		{ForceResync, js, `{"$type":"x"}`, Arguments{}, "a property whose name begins with $ steers the reader and is not taken"},
		{ForceResync, js, `[1]`, Arguments{}, "not an object"},
		{ForceResync, js, `{"ErpConnectionId":612} {}`, Arguments{}, "something follows the JSON value"},
		{ForceResync, js, "\xef\xbb\xbf{}", Arguments{}, "not well-formed JSON at byte 0"},
		{ForceResync, js, "{\"a\":\"\xff\"}", Arguments{}, "not UTF-8"},
		{ForceResync, js, `{'ErpConnectionId':612}`, Arguments{}, "not well-formed JSON at byte 1"},
		{ForceResync, js, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, Arguments{}, "nested too deeply"},
		{ForceResync, js, `{"InternalKeyIds":[` + strings.Repeat("1,", maxKeys) + `1]}`, Arguments{}, "/InternalKeyIds: more than 100000 keys"},
		{ForceResync, "application/json; charset=utf-16", `{}`, Arguments{}, "the charset is not utf-8"},
		{ForceResync, "application/json-patch+json", `[]`, Arguments{}, "a JSON Patch has no certain meaning for an operation"},
		{ForceResync, "text/plain", `{}`, Arguments{}, "the content type is none that SuperOffice lists"},
		{ForceResync, ";", `{}`, Arguments{}, "the content type cannot be read"},
		{ForceResync, xm, `<?xml version="1.0" encoding="utf-8"?><Request><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds></Request>`, seed, ""},
		{ForceResync, "text/xml", `<r xmlns="urn:x"><ErpConnectionId>612</ErpConnectionId><InternalKeyIds/></r>`, everything, ""},
		{ForceResync, xm, `<r><InternalKeyIds><int>x</int></InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, xm, `<r><internalKeyIds><int>1</int></internalKeyIds></r>`, Arguments{}, "/InternalKeyIds: the name is spelled in other letters"},
		{ForceResync, xm, `<!DOCTYPE r [<!ENTITY a "1">]><r/>`, Arguments{}, "a document type is not taken"},
		{ForceResync, xm, `<r/><r/>`, Arguments{}, "something follows the document"},
		{ForceResync, xm, `<r>`, Arguments{}, "not well-formed XML at byte 3"},
		{ForceResync, xm, `<?xml version="1.0" encoding="utf-16"?><r/>`, Arguments{}, "the encoding is not utf-8"},
		{ForceResync, form, `ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230`, seed, ""},
		{ForceResync, form, `ErpConnectionId=612`, everything, ""},
		{ForceResync, form, `ErpConnectionId=612&erpconnectionid=1`, Arguments{}, "/ErpConnectionId: stands in the body twice"},
		{ForceResync, form, `ErpConnectionId=612&ErpConnectionId=1`, Arguments{}, "/ErpConnectionId: stands in the body twice"},
		{ForceResync, form, `InternalKeyIds[0]=1&InternalKeyIds[2]=3`, Arguments{}, "indexed and dotted names are not taken; repeat the plain name"},
		{ForceResync, form, `InternalKeyIds=`, Arguments{}, "/InternalKeyIds/0: not an int32"},
		{ForceResync, form, `a=1;b=2`, Arguments{}, "not a form"},
		{ForceResyncExternal, js, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":["K1","K2"]}`, Arguments{Connection: 612, ActorType: "Customer", ExternalKeys: []string{"K1", "K2"}}, ""},
		{ForceResyncExternal, js, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":[]}`, Arguments{Connection: 612, ActorType: "Customer", Everything: true}, ""},
		{ForceResyncExternal, js, `{"ExternalKeys":[""]}`, Arguments{}, "/ExternalKeys/0: not a string with something in it"},
		{SyncAll, js, ``, Arguments{Everything: true}, ""},
		{ForceSyncAll, js, `{}`, Arguments{Everything: true}, ""},
		{ForceSyncAll, js, `{"x":1}`, Arguments{}, "the operation takes no arguments"},
		{GetEngineStatus, js, ``, Arguments{}, ""},
	} {
		name := c.body
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(c.op.String()+" "+name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadArguments(c.op, c.contentType, []byte(c.body))
			if c.problem != "" {
				var where *ArgumentError
				if !errors.As(err, &where) || where.Error() != c.problem {
					t.Fatalf("problem = %v, want %s", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheDigestNamesASetOfKeys(t *testing.T) {
	t.Parallel()
	a := Arguments{Keys: []int32{1, 2, 3}}
	if b := (Arguments{Keys: []int32{3, 1, 2, 2}}); a.KeysSum() != b.KeysSum() {
		t.Error("order and repetition change the digest")
	}
	if b := (Arguments{Keys: []int32{1, 2}}); a.KeysSum() == b.KeysSum() {
		t.Error("other keys have the same digest")
	}
	x, y := Arguments{ExternalKeys: []string{"ab", "c"}}, Arguments{ExternalKeys: []string{"a", "bc"}}
	if x.KeysSum() == y.KeysSum() {
		t.Error("keys run into each other")
	}
}

// What is accepted must be what encoding/json, a reader of its own, finds too.
func FuzzReadArguments(f *testing.F) {
	f.Add(`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`)
	f.Add(`{"erpConnectionId":1,"InternalKeyIds":null,"x":[{}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		_, _ = ReadArguments(ForceResync, "application/xml", []byte(body))
		_, _ = ReadArguments(ForceResync, "application/x-www-form-urlencoded", []byte(body))
		got, err := ReadArguments(ForceResync, "", []byte(body))
		if err != nil || strings.TrimSpace(body) == "" {
			return
		}
		var other struct {
			ErpConnectionId int32
			InternalKeyIds  []int32
		}
		if err := json.Unmarshal([]byte(body), &other); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if other.ErpConnectionId != got.Connection || len(other.InternalKeyIds) != len(got.Keys) {
			t.Fatalf("read %+v, encoding/json %+v", got, other)
		}
	})
}

func BenchmarkReadArguments(b *testing.B) {
	body := []byte(`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadArguments(ForceResync, "application/json", body); err != nil {
			b.Fatal(err)
		}
	}
}
