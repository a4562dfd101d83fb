package superoffice

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	jsonType  = "application/json"
	xmlType   = "application/xml"
	formType  = "application/x-www-form-urlencoded"
	patchType = "application/json-patch+json"
)

// Arguments that many bodies mean, by the properties that they state.
var (
	seedArguments = Arguments{Connection: 612, Keys: []int32{386, 230}, Stated: ConnectionProperty | InternalKeysProperty}
	absentKeys    = Arguments{Connection: 612, Stated: ConnectionProperty, Everything: true}
	nullKeys      = Arguments{Connection: 612, Stated: ConnectionProperty | InternalKeysProperty, Everything: true}
	emptyKeys     = Arguments{Connection: 612, Keys: []int32{}, Stated: ConnectionProperty | InternalKeysProperty, Everything: true}
	noProperty    = Arguments{Everything: true}
	externalSeed  = Arguments{Connection: 612, ActorType: "Customer", ExternalKeys: []string{"K1", "K2"}, Stated: ConnectionProperty | ActorTypeProperty | ExternalKeysProperty}
)

// bodyCase is a body that is understood as want, or refused with problem.
type bodyCase struct {
	op      Operation
	media   string
	body    string
	want    Arguments
	problem string
}

const (
	unknownNearKeys   = "the body has a property that the operation does not take; did you mean InternalKeyIds?"
	unknownNearConn   = "the body has a property that the operation does not take; did you mean ErpConnectionId?"
	unknownOfInternal = "the body has a property that the operation does not take; it takes ErpConnectionId, InternalKeyIds"
	utf16Mark         = "\xff\xfe"
)

// utf16LEOf writes ASCII as UTF-16.
func utf16LEOf(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

var bodyCases = []bodyCase{
	// JSON.
	{ForceResync, jsonType + "; charset=utf-8", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, jsonType, `{"erpConnectionId":612,"internalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, "", `{"ERPCONNECTIONID":612,"INTERNALKEYIDS":[386,230]}`, seedArguments, ""},
	{ForceResync, "text/json", `{"InternalKeyIds":[386,230],"ErpConnectionId":612}`, seedArguments, ""},
	{ForceResync, "application/merge-patch+json", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, patchType, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, jsonType, `{"\u0045rpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, jsonType, "\xef\xbb\xbf" + `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, emptyKeys, ""},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":null}`, nullKeys, ""},
	{ForceResync, jsonType, `{"ErpConnectionId":612}`, absentKeys, ""},
	{ForceResync, jsonType, `{}`, noProperty, ""},
	{ForceResync, jsonType, `{"ErpConnectionId":-1,"InternalKeyIds":[1]}`, Arguments{Connection: -1, Keys: []int32{1}, Stated: ConnectionProperty | InternalKeysProperty}, ""},
	{ForceResync, jsonType, `{"InternalKeyIds":[-2147483648,0,2147483647]}`, Arguments{Keys: []int32{-2147483648, 0, 2147483647}, Stated: InternalKeysProperty}, ""},
	{ForceResync, jsonType, ``, Arguments{}, noBody},
	{ForceResync, jsonType, " \r\n", Arguments{}, noBody},
	{ForceResync, jsonType, `null`, Arguments{}, noBody},
	{ForceResyncExternal, jsonType, ` null `, Arguments{}, noBody},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyId":[386]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeysIds":[386]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"ConnectionId":612,"InternalKeyIds":[386]}`, Arguments{}, unknownNearConn},
	{ForceResync, jsonType, `{"Other":{"a":[1,{"b":2}]},"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, Arguments{}, unknownOfInternal},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[386],"x":1e999999999}`, Arguments{}, unknownOfInternal},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"ExternalKeys":["K1"]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"":1}`, Arguments{}, unknownOfInternal},
	{ForceResync, jsonType, `{"` + strings.Repeat("InternalKeyIds", 1000) + `":1}`, Arguments{}, unknownOfInternal},
	{ForceResync, jsonType, `{"$type":"x"}`, Arguments{}, unknownOfInternal},
	{ForceResync, jsonType, `{"InternalKeyIdſ":[1]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"InternalKeyId\u017f":[1]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"\ufeffInternalKeyIds":[1]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"InternalKeyIds\u0000":[1]}`, Arguments{}, unknownNearKeys},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[386,"230"]}`, Arguments{}, "/InternalKeyIds/1: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[386,2147483648]}`, Arguments{}, "/InternalKeyIds/1: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[386.0]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[1e2]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[-0]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[null]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[[1]]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":[` + strings.Repeat("9", 1000) + `]}`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"InternalKeyIds":386}`, Arguments{}, "/InternalKeyIds: not a list"},
	{ForceResync, jsonType, `{"ErpConnectionId":"612"}`, Arguments{}, "/ErpConnectionId: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":null}`, Arguments{}, "/ErpConnectionId: not an int32"},
	{ForceResync, jsonType, `{"ErpConnectionId":612,"erpconnectionid":613}`, Arguments{}, "/ErpConnectionId: occurs twice in the body"},
	{ForceResync, jsonType, `{"InternalKeyIds":[1],"internalKeyIds":[]}`, Arguments{}, "/InternalKeyIds: occurs twice in the body"},
	{ForceResync, jsonType, `[1]`, Arguments{}, "not an object"},
	{ForceResync, jsonType, `"x"`, Arguments{}, "not an object"},
	{ForceResync, jsonType, `{"ErpConnectionId":612} {}`, Arguments{}, "something follows the JSON value"},
	{ForceResync, jsonType, "{\"ErpConnectionId\":612,\"a\":\"\xff\"}", Arguments{}, "not UTF-8"},
	{ForceResync, jsonType, `{'ErpConnectionId':612}`, Arguments{}, "not well-formed JSON at byte 1"},
	{ForceResync, jsonType, `{"ErpConnectionId":612 /* one */}`, Arguments{}, "not well-formed JSON at byte 22"},
	{ForceResync, jsonType, `{"InternalKeyIds":[1,`, Arguments{}, "not well-formed JSON at byte 20"},
	{ForceResync, jsonType, `{"InternalKeyIds":[1,]}`, Arguments{}, "not well-formed JSON at byte 20"},
	{ForceResync, jsonType, "\xef\xbb\xbf\xef\xbb\xbf{}", Arguments{}, "not well-formed JSON at byte 0"},
	{ForceResync, jsonType, `{"InternalKeyIds":[` + strings.Repeat("1,", maxKeys) + `1]}`, Arguments{}, "/InternalKeyIds: more than 100000 keys"},

	// Content-Type.
	{ForceResync, "Application/JSON;charset=UTF-8", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, `application/json; charset="utf-8"`, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, "application/json; charset=utf8; odata.metadata=minimal; IEEE754Compatible=true", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, "application/json; charset=us-ascii", `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, seedArguments, ""},
	{ForceResync, "application/json; charset=utf-16", utf16Mark + utf16LEOf(`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`), seedArguments, ""},
	{ForceResync, "application/json; charset=utf-16le", utf16LEOf(`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`), seedArguments, ""},
	{ForceResync, "application/json; charset=utf-16be", strings.Repeat("\x00{\x00}", 1), noProperty, ""},
	{ForceResyncExternal, "application/json; charset=iso-8859-1", "{\"ErpConnectionId\":612,\"ExternalKeys\":[\"K\xe5\"]}", Arguments{Connection: 612, ExternalKeys: []string{"Kå"}, Stated: ConnectionProperty | ExternalKeysProperty}, ""},
	{ForceResyncExternal, "application/json; charset=iso-8859-1", "{\"ErpConnectionId\":612,\"ExternalKeys\":[\"K\x85\"]}", Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResync, "application/json; charset=utf-16", utf16LEOf(`{}`), Arguments{}, "UTF-16 without a byte order mark; send UTF-8"},
	{ForceResync, "application/json; charset=utf-16le", "{\x00}", Arguments{}, "not UTF-16"},
	{ForceResync, "application/json; charset=utf-16le", "{\x00\x00\xd8}\x00", Arguments{}, "not UTF-16"},
	{ForceResync, "application/json; charset=utf-16le", "{\x00\x00\xd8", Arguments{}, "not UTF-16"},
	{ForceResync, jsonType, utf16Mark + utf16LEOf(`{}`), Arguments{}, "UTF-16, which Content-Type does not declare"},
	{ForceResync, "application/json; charset=us-ascii", `{"å":1}`, Arguments{}, "not US-ASCII, which Content-Type declares"},
	{ForceResync, "application/json; charset=utf-7", `{}`, Arguments{}, "the charset in Content-Type is not taken; send utf-8"},
	{ForceResync, xmlType + "; charset=utf-7", `<r><!-- +AC0APg- <InternalKeyIds/> --></r>`, Arguments{}, "the charset in Content-Type is not taken; send utf-8"},
	{ForceResync, "application/json; charset=utf-16; charset*=utf-8''utf-8", `{}`, Arguments{}, "Content-Type has a parameter with *; write charset=utf-8"},
	{ForceResync, "application/json; charset*0=utf-8", `{}`, Arguments{}, "Content-Type has a parameter with *; write charset=utf-8"},
	{ForceResync, "application/json; x*=utf-8''y", `{}`, Arguments{}, "Content-Type has a parameter with *; write charset=utf-8"},
	{ForceResync, "application/json; charset=utf-8; charset=utf-16", `{}`, Arguments{}, "Content-Type cannot be read"},
	{ForceResync, "application/json; boundary=x", `{}`, Arguments{}, "Content-Type has a parameter that is not taken; send charset alone"},
	{ForceResync, patchType, `[]`, Arguments{}, "a JSON Patch has no certain meaning for an operation; send an object"},
	{ForceResync, patchType, `[{"op":"replace","path":"/ErpConnectionId","value":612}]`, Arguments{}, "a JSON Patch has no certain meaning for an operation; send an object"},
	{ForceResync, patchType, `null`, Arguments{}, noBody},
	{ForceResync, "text/plain", `{}`, Arguments{}, "Content-Type is none that SuperOffice lists; send application/json"},
	{ForceResync, ";", `{}`, Arguments{}, "Content-Type cannot be read"},
	{ForceResync, "application/json, text/plain", `{}`, Arguments{}, "Content-Type cannot be read"},

	// XML.
	{ForceResync, xmlType, `<?xml version="1.0" encoding="utf-8"?><Request><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds></Request>`, seedArguments, ""},
	{ForceResync, xmlType, `<r><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds><ErpConnectionId>612</ErpConnectionId></r>`, seedArguments, ""},
	{ForceResync, xmlType, `<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds xmlns="urn:x"><int>386</int><int>230</int></InternalKeyIds></r>`, seedArguments, ""},
	{ForceResync, xmlType, `<r><ErpConnectionId>612</ErpConnectionId><a:InternalKeyIds xmlns:a="urn:x"><a:int>386</a:int><int>230</int></a:InternalKeyIds></r>`, seedArguments, ""},
	{ForceResync, xmlType, "\xef\xbb\xbf" + `<?xml version='1.0' encoding = 'UTF-8' standalone="yes" ?>` + "\r\n<r>\n<ErpConnectionId> 612 </ErpConnectionId>\n<!-- two --><InternalKeyIds><int>386</int>\n<int><![CDATA[230]]></int></InternalKeyIds>\n</r>\n", seedArguments, ""},
	{ForceResync, xmlType, `<r xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x.xsd"><ErpConnectionId>612</ErpConnectionId></r>`, absentKeys, ""},
	{ForceResync, "text/xml", `<r xmlns="urn:x"><ErpConnectionId>612</ErpConnectionId><InternalKeyIds/></r>`, emptyKeys, ""},
	{ForceResync, xmlType, `<ForceResync/>`, noProperty, ""},
	{ForceResync, xmlType + "; charset=utf-16", utf16Mark + utf16LEOf(`<?xml version="1.0" encoding="utf-16"?><r/>`), noProperty, ""},
	{ForceResync, xmlType + "; charset=utf-16le", utf16LEOf(`<?xml version="1.0" encoding="utf-16"?><r/>`), noProperty, ""},
	{ForceResyncExternal, xmlType, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r><ErpConnectionId>612</ErpConnectionId><ExternalKeys><string>K\xe5</string></ExternalKeys></r>", Arguments{Connection: 612, ExternalKeys: []string{"Kå"}, Stated: ConnectionProperty | ExternalKeysProperty}, ""},
	{ForceResync, xmlType, `<?xml version="1.0" encoding = "utf-7"?><r/>`, Arguments{}, "the encoding that the XML declares is not taken; send utf-8"},
	{ForceResync, xmlType, `<?xml version="1.0" encoding="utf-16"?><r/>`, Arguments{}, "the encoding that the XML declares is not the one that it is written in"},
	{ForceResync, xmlType, "\xef\xbb\xbf" + `<?xml version="1.0" encoding="iso-8859-1"?><r/>`, Arguments{}, "the encoding that the XML declares is not the one that it is written in"},
	{ForceResync, xmlType, "\xef\xbb\xbf\xef\xbb\xbf<r/>", Arguments{}, "the encoding that the XML declares is not the one that it is written in"},
	{ForceResync, xmlType + "; charset=utf-8", `<?xml version="1.0" encoding="iso-8859-1"?><r/>`, Arguments{}, "the encoding that the XML declares is not the charset of Content-Type"},
	{ForceResync, xmlType + "; charset=utf-8", `<?xml version="1.0" encoding = "utf-16"?><r/>`, Arguments{}, "the encoding that the XML declares is not the charset of Content-Type"},
	{ForceResync, xmlType, "<?xml version=\"1.0\"\fencoding=\"utf-7\"?><r/>", Arguments{}, "not well-formed XML at byte 38 after the declaration"},
	{ForceResync, xmlType, `<?xml version="1.1"?><r/>`, Arguments{}, "not well-formed XML at byte 21 after the declaration"},
	{ForceResync, xmlType, `<?xml version="1.0" encoding="utf-8" encoding="utf-7"?><r/>`, Arguments{}, "a processing instruction is not taken"},
	{ForceResync, xmlType, `<?xml-stylesheet href="x"?><r/>`, Arguments{}, "a processing instruction is not taken"},
	{ForceResync, xmlType, `<r/><?xml-stylesheet href="x"?>`, Arguments{}, "something follows the document"},
	{ForceResync, xmlType, "<r><ErpConnectionId>\xff</ErpConnectionId></r>", Arguments{}, "not UTF-8"},
	{ForceResync, xmlType, `<r xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int></InternalKeyIds></r>`, Arguments{}, "nil is not taken; leave the element out"},
	{ForceResync, xmlType, `<r xmlns:i="urn:i"><InternalKeyIds i:nil="1"/></r>`, Arguments{}, "nil is not taken; leave the element out"},
	{ForceResync, xmlType, `<r xmlns:z="urn:z"><InternalKeyIds><int z:Ref="i1">1</int></InternalKeyIds></r>`, Arguments{}, "an attribute that is not taken"},
	{ForceResync, xmlType, `<r><InternalKeyIds><x>1</x></InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds: an element that is not taken; its elements are <int>"},
	{ForceResync, xmlType, `<r><InternalKeyIds><Int>1</Int></InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds: an element that is not taken; its elements are <int>"},
	{ForceResync, xmlType, `<r><InternalKeyId><int>1</int></InternalKeyId></r>`, Arguments{}, unknownNearKeys},
	{ForceResync, xmlType, `<r><internalKeyIds><int>1</int></internalKeyIds></r>`, Arguments{}, unknownNearKeys},
	{ForceResync, xmlType, `<r><request><InternalKeyIds><int>1</int></InternalKeyIds></request></r>`, Arguments{}, unknownOfInternal},
	{ForceResync, xmlType, `<r><InternalKeyIds><int>x</int></InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, xmlType, `<r><InternalKeyIds><int>1<b/></int></InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds/0: not plain text"},
	{ForceResync, xmlType, `<r><InternalKeyIds>1</InternalKeyIds></r>`, Arguments{}, "text where an element belongs"},
	{ForceResync, xmlType, "<r>\u00a0</r>", Arguments{}, "text where an element belongs"},
	{ForceResync, xmlType, `<r><ErpConnectionId>612</ErpConnectionId><ErpConnectionId>613</ErpConnectionId></r>`, Arguments{}, "/ErpConnectionId: occurs twice in the body"},
	{ForceResync, xmlType, `<r><InternalKeyIds>` + strings.Repeat("<int>1</int>", maxKeys+1) + `</InternalKeyIds></r>`, Arguments{}, "/InternalKeyIds: more than 100000 keys"},
	{ForceResync, xmlType, `<!DOCTYPE r [<!ENTITY a "1">]><r/>`, Arguments{}, "a document type is not taken"},
	{ForceResync, xmlType, `<r/><r/>`, Arguments{}, "something follows the document"},
	{ForceResync, xmlType, `<r>`, Arguments{}, "not well-formed XML at byte 3 after the declaration"},
	{ForceResync, xmlType, `<!-- nothing -->`, Arguments{}, "not well-formed XML at byte 16 after the declaration"},
	{ForceResync, xmlType, ` `, Arguments{}, noBody},

	// Forms.
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230`, seedArguments, ""},
	{ForceResync, formType + "; charset=UTF-8", `InternalKeyIds=386&erpConnectionId=612&&InternalKeyIds=%32%330`, seedArguments, ""},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds[]=386&InternalKeyIds%5B%5D=230`, seedArguments, ""},
	{ForceResync, formType, `ErpConnectionId=612`, absentKeys, ""},
	{ForceResync, formType, ``, Arguments{}, noBody},
	{ForceResync, formType, `&`, Arguments{}, "/ErpConnectionId: is missing; a form without keys means everything only with ErpConnectionId"},
	{ForceResyncExternal, formType, `ErpActorType=Customer`, Arguments{}, "/ErpConnectionId: is missing; a form without keys means everything only with ErpConnectionId"},
	{ForceResync, formType + "; charset=utf-16", `ErpConnectionId=612`, Arguments{}, "the charset in Content-Type is not taken; send utf-8"},
	{ForceResync, formType + "; charset=utf-16; charset*=utf-8''utf-8", `ErpConnectionId=612`, Arguments{}, "Content-Type has a parameter with *; write charset=utf-8"},
	{ForceResync, formType, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`, Arguments{}, "Content-Type says that the body is a form, and it looks like JSON; send Content-Type: application/json"},
	{ForceResync, formType, ` <r/>`, Arguments{}, "Content-Type says that the body is a form, and it looks like XML; send Content-Type: application/xml"},
	{ForceResync, formType, "\xef\xbb\xbfErpConnectionId=612&InternalKeyIds=386", Arguments{}, unknownNearConn},
	{ForceResync, formType, `ErpConnectionId=612&%EF%BB%BFInternalKeyIds=386`, Arguments{}, unknownNearKeys},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds%00=386`, Arguments{}, unknownNearKeys},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyId=386`, Arguments{}, unknownNearKeys},
	{ForceResync, formType, `request=x&ErpConnectionId=612&InternalKeyIds=386`, Arguments{}, unknownOfInternal},
	{ForceResync, formType, `request.ErpConnectionId=612&request.InternalKeyIds=386`, Arguments{}, unknownOfInternal},
	{ForceResync, formType, `=612`, Arguments{}, unknownOfInternal},
	{ForceResync, formType, `ErpConnectionId=612&erpconnectionid=1`, Arguments{}, "/ErpConnectionId: occurs twice in the body"},
	{ForceResync, formType, `ErpConnectionId=612&ErpConnectionId=1`, Arguments{}, "/ErpConnectionId: occurs twice in the body"},
	{ForceResync, formType, `InternalKeyIds=1&internalkeyids=2`, Arguments{}, "/InternalKeyIds: occurs twice in the body"},
	{ForceResync, formType, `InternalKeyIds=1&InternalKeyIds[]=2`, Arguments{}, "/InternalKeyIds: occurs twice in the body"},
	{ForceResync, formType, `ErpConnectionId[]=612`, Arguments{}, "/ErpConnectionId: is not a list"},
	{ForceResync, formType, `InternalKeyIds[0]=1&InternalKeyIds[2]=3`, Arguments{}, "/InternalKeyIds: indexed and dotted names are not taken; repeat the plain name"},
	{ForceResync, formType, `internalkeyids.index=1`, Arguments{}, "/InternalKeyIds: indexed and dotted names are not taken; repeat the plain name"},
	{ForceResync, formType, `InternalKeyIds=`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds[]=`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, formType, `ErpConnectionId=612&InternalKeyIds=386,230`, Arguments{}, "/InternalKeyIds/0: not an int32"},
	{ForceResync, formType, `ErpConnectionId=00000000612`, absentKeys, ""},
	{ForceResync, formType, `ErpConnectionId=000000000612`, Arguments{}, "/ErpConnectionId: not an int32"},
	{ForceResync, formType, `ErpConnectionId=%2b612`, Arguments{}, "/ErpConnectionId: not an int32"},
	{ForceResync, formType, `a=1;b=2`, Arguments{}, "not a form"},
	{ForceResync, formType, "ErpConnectionId=612\x00", Arguments{}, "not a form"},
	{ForceResync, formType, `ErpConnectionId=%zz`, Arguments{}, "not a form"},
	{ForceResync, formType, `Internal%ffKeyIds=1`, Arguments{}, "not a form"},
	{ForceResync, formType, strings.Repeat("InternalKeyIds=1&", maxKeys+1), Arguments{}, "/InternalKeyIds: more than 100000 keys"},

	// External keys.
	{ForceResyncExternal, jsonType, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":["K1","K2"]}`, externalSeed, ""},
	{ForceResyncExternalNoBlankValues, xmlType, `<r><ErpConnectionId>612</ErpConnectionId><ErpActorType>Customer</ErpActorType><ExternalKeys><string>K1</string><string>K2</string></ExternalKeys></r>`, externalSeed, ""},
	{ForceResyncExternal, formType, `ErpConnectionId=612&ErpActorType=Customer&ExternalKeys=K1&ExternalKeys=K2`, externalSeed, ""},
	{ForceResyncExternal, jsonType, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":[]}`, Arguments{Connection: 612, ActorType: "Customer", ExternalKeys: []string{}, Stated: externalSeed.Stated, Everything: true}, ""},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["a<b>&'\"\\\/` + "\u2028" + `","  x "],"ErpActorType":""}`, Arguments{ExternalKeys: []string{"a<b>&'\"\\/\u2028", "  x "}, Stated: ActorTypeProperty | ExternalKeysProperty}, ""},
	{ForceResyncExternal, jsonType, `{"InternalKeyIds":[1]}`, Arguments{}, "the body has a property that the operation does not take; did you mean ExternalKeys?"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":[""]}`, Arguments{}, "/ExternalKeys/0: is blank"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K1"," \u00a0\t"]}`, Arguments{}, "/ExternalKeys/1: is blank"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["\u200b\ufeff"]}`, Arguments{}, "/ExternalKeys/0: is blank"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\u0000"]}`, Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\n"]}`, Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\ufffd"]}`, Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\ufffe"]}`, Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\ufdd0"]}`, Arguments{}, "/ExternalKeys/0: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":["K\ud800"]}`, Arguments{}, "not well-formed JSON at byte 17"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":[1]}`, Arguments{}, "/ExternalKeys/0: not a string"},
	{ForceResyncExternal, jsonType, `{"ExternalKeys":[null]}`, Arguments{}, "/ExternalKeys/0: not a string"},
	{ForceResyncExternal, jsonType, `{"ErpActorType":"a\u0000"}`, Arguments{}, "/ErpActorType: is not plain text"},
	{ForceResyncExternal, jsonType, `{"ErpActorType":null}`, Arguments{}, "/ErpActorType: not a string"},
	{ForceResyncExternal, xmlType, `<r><ExternalKeys><string> </string></ExternalKeys></r>`, Arguments{}, "/ExternalKeys/0: is blank"},
	{ForceResyncExternal, xmlType, `<r><ExternalKeys><int>1</int></ExternalKeys></r>`, Arguments{}, "/ExternalKeys: an element that is not taken; its elements are <string>"},
	{ForceResyncExternal, xmlType, `<r><ErpActorType>a&#10;</ErpActorType></r>`, Arguments{}, "/ErpActorType: is not plain text"},
	{ForceResyncExternal, formType, `ErpConnectionId=612&ExternalKeys=`, Arguments{}, "/ExternalKeys/0: is blank"},
	{ForceResyncExternal, formType, `ErpConnectionId=612&ExternalKeys=K&ExternalKeys=a%00`, Arguments{}, "/ExternalKeys/1: is not plain text"},
	{ForceResyncExternal, formType, `ErpConnectionId=612&ErpActorType=a%07`, Arguments{}, "/ErpActorType: is not plain text"},

	// Operations without arguments.
	{SyncAll, jsonType, ``, Arguments{Everything: true}, ""},
	{SyncAll, "text/plain;charset=UTF-8", ``, Arguments{Everything: true}, ""},
	{ForceSyncAll, jsonType, `{}`, Arguments{Everything: true}, ""},
	{ForceSyncAll, jsonType, `null`, Arguments{Everything: true}, ""},
	{ForceSyncAll, jsonType, `{"x":1}`, Arguments{}, "the operation takes no arguments"},
	{GetEngineStatus, jsonType, ``, Arguments{}, ""},
}

func headerOf(media string) http.Header {
	if media == "" {
		return http.Header{}
	}
	return http.Header{"Content-Type": {media}}
}

func short(s string) string { return s[:min(len(s), 70)] }

func TestABodyIsUnderstoodInFullOrRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	for _, c := range bodyCases {
		t.Run(c.op.String()+" "+c.media+" "+short(c.body), func(t *testing.T) {
			t.Parallel()
			got, err := ReadArguments(c.op, headerOf(c.media), []byte(c.body))
			if c.problem != "" {
				var where *ArgumentError
				if !errors.As(err, &where) || where.Error() != c.problem {
					t.Fatalf("problem = %v, want %s", err, c.problem)
				}
				if diff := cmp.Diff(Arguments{}, got); diff != "" {
					t.Errorf("arguments beside an error: %s", diff)
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

func TestAHeaderThatIsRefusedNamesWhatIsTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header      http.Header
		body        string
		name, value string
	}{
		{http.Header{"Content-Type": {"text/plain"}}, `{}`, "Accept", acceptedTypes},
		{http.Header{"Content-Type": {jsonType, jsonType}}, `{}`, "Accept", acceptedTypes},
		{http.Header{"Content-Type": {formType}}, `{}`, "Accept", acceptedTypes},
		{http.Header{"Content-Encoding": {"gzip"}}, `{}`, "Accept-Encoding", "identity"},
		{http.Header{"Content-Encoding": {"identity, br"}}, `{}`, "Accept-Encoding", "identity"},
		{http.Header{"Content-Encoding": {"identity", "x"}}, `{}`, "Accept-Encoding", "identity"},
		{http.Header{}, `[]`, "", ""},
	} {
		_, err := ReadArguments(ForceResync, c.header, []byte(c.body))
		var where *ArgumentError
		if !errors.As(err, &where) {
			t.Errorf("%v: %v", c.header, err)
			continue
		}
		if name, value := where.Accepted(); name != c.name || value != c.value {
			t.Errorf("%v: %s: %s", c.header, name, value)
		}
		if c.name == "Accept-Encoding" && !strings.Contains(where.Problem, "Content-Encoding") {
			t.Errorf("%v: %s", c.header, where.Problem)
		}
	}
	for _, coding := range []string{"", "identity", "Identity, identity"} {
		if _, err := ReadArguments(ForceResync, http.Header{"Content-Encoding": {coding}}, []byte(`{}`)); err != nil {
			t.Errorf("Content-Encoding %q: %v", coding, err)
		}
	}
	// A compressed body is none that is empty.
	if _, err := ReadArguments(SyncAll, http.Header{"Content-Encoding": {"gzip"}}, nil); err == nil {
		t.Error("a compressed body of an operation without arguments is taken")
	}
	// The list says what the reader does.
	listed := strings.Split(acceptedTypes, ", ")
	for media := range bodyForms {
		if !slices.Contains(listed, media) {
			t.Errorf("%s is read and not named", media)
		}
	}
	if len(listed) != len(bodyForms) {
		t.Errorf("%d types are named, %d are read", len(listed), len(bodyForms))
	}
}

func TestWithoutAcceptTheAnswerComesInTheBodysType(t *testing.T) {
	t.Parallel()
	for media, want := range map[string]string{
		"": jsonType, "application/json; charset=utf-8": jsonType, "text/json": "text/json", "application/merge-patch+json": "application/merge-patch+json", patchType: patchType,
		"application/xml;charset=utf-8": xmlType, "Text/XML": "text/xml", formType: jsonType, "text/plain;charset=UTF-8": jsonType, ";": jsonType,
	} {
		if got := AnswerType(media); got != want {
			t.Errorf("%q: %s, want %s", media, got, want)
		}
	}
}

func TestARefusalSaysWhatWouldRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op   Operation
		args Arguments
		want string
	}{
		{ForceResync, absentKeys, "ForceResync of everything from ERP connection 612: the body has no InternalKeyIds"},
		{ForceResync, nullKeys, "ForceResync of everything from ERP connection 612: InternalKeyIds is null"},
		{ForceResync, emptyKeys, "ForceResync of everything from ERP connection 612: InternalKeyIds is an empty list"},
		{ForceResyncBatchTask, noProperty, "ForceResyncBatchTask of everything from the CRM: the body has no InternalKeyIds"},
		{ForceResyncExternal, Arguments{Connection: -1, ExternalKeys: []string{}}, "ForceResyncExternal of everything from the CRM: ExternalKeys is an empty list"},
		{ForceResyncExternal, Arguments{Stated: ExternalKeysProperty}, "ForceResyncExternal of everything from the CRM: ExternalKeys is null"},
		{ForceResyncExternal, externalSeed, "ForceResyncExternal of 2 ExternalKeys from ERP connection 612"},
		{ForceResync, seedArguments, "ForceResync of 2 InternalKeyIds from ERP connection 612"},
		{SyncAll, noProperty, "SyncAll of everything: the operation takes no keys"},
		{GetEngineStatus, Arguments{}, "GetEngineStatus"},
	} {
		if got := c.args.Describe(c.op); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
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

// FuzzReadArguments holds what is accepted to the property of the document, and what is accepted of plain JSON to what
// encoding/json, a reader of its own, finds in the caller's bytes.
func FuzzReadArguments(f *testing.F) {
	for _, c := range bodyCases {
		if len(c.body) < 1000 {
			f.Add(uint8(c.op), c.media, c.body)
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, media, body string) {
		op := Operation(number % uint8(operationCount))
		got, err := ReadArguments(op, headerOf(media), []byte(body))
		if err != nil {
			if known := (*ArgumentError)(nil); !errors.As(err, &known) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		document := Document(op, got)
		if diff := cmp.Diff(got, strictly(t, op, document)); diff != "" {
			t.Fatalf("the document %s is not what was judged: %s", document, diff)
		}
		again, err := ReadArguments(op, headerOf(DocumentType), document)
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatalf("the document %s is read as %s (%v)", document, diff, err)
		}
		if media != "" && media != jsonType || op.Arguments() == NoArguments {
			return
		}
		var other struct {
			ErpConnectionId int32 //nolint:revive // the wire's spelling
			InternalKeyIds  []int32
			ExternalKeys    []string
			ErpActorType    string
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "\xef\xbb\xbf")), &other); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if diff := cmp.Diff(Arguments{Connection: other.ErpConnectionId, Keys: other.InternalKeyIds, ExternalKeys: other.ExternalKeys, ActorType: other.ErpActorType}, got, cmpopts.IgnoreFields(Arguments{}, "Stated", "Everything")); diff != "" {
			t.Fatalf("encoding/json reads %s", diff)
		}
	})
}

func BenchmarkReadArguments(b *testing.B) {
	body, header := []byte(`{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`), headerOf(jsonType)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadArguments(ForceResync, header, body); err != nil {
			b.Fatal(err)
		}
	}
}
