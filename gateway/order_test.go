package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

// TestWhatIsAcceptedIsWhatSuperOfficeUnderstands sends bodies that readers could read
// differently. What passes must be understood alike on both sides; all else is refused with its place.
func TestWhatIsAcceptedIsWhatSuperOfficeUnderstands(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	const js, xm, form = "application/json", "application/xml", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		media, body string
		status      int
		says        string // a refusal's pointer or reason, or the connection and keys that run
	}{
		{js, gatewaytest.SeedBody, 200, "612 [386 230]"},
		{js, `{"erpConnectionId":612,"internalKeyIds":[386]}`, 200, "612 [386]"},
		{js, `{"ERPCONNECTIONID":612,"iNTERNALkEYiDS":[386]}`, 200, "612 [386]"},
		{js, "\n\t {\"ErpConnectionId\" : 612 , \"InternalKeyIds\" : [ 386 ] } \r\n", 200, "612 [386]"},
		{js, "\xef\xbb\xbf" + gatewaytest.SeedBody, 200, "612 [386 230]"},
		{js, `{"\u0045rpConnectionId":612,"InternalKeyIds":[386]}`, 200, "612 [386]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[2147483647,-2147483648]}`, 200, "612 [2147483647 -2147483648]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386,386]}`, 200, "612 [386 386]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[0]}`, 200, "612 [0]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, 200, "612 []"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":null}`, 200, "612 []"},
		{js, `{"ErpConnectionId":612}`, 200, "612 []"},
		{"text/json", gatewaytest.SeedBody, 200, "612 [386 230]"},
		{"application/merge-patch+json", gatewaytest.SeedBody, 200, "612 [386 230]"},
		{"Application/JSON;charset=UTF-8", gatewaytest.SeedBody, 200, "612 [386 230]"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int></InternalKeyIds></ForceResync>`, 200, "612 [386]"},
		{"text/xml", `<ForceResync><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds><ErpConnectionId>612</ErpConnectionId></ForceResync>`, 200, "612 [386 230]"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><!-- all --><InternalKeyIds/></ForceResync>`, 200, "612 []"},
		{form, `ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230`, 200, "612 [386 230]"},
		{form, `InternalKeyIds=386&ErpConnectionId=612`, 200, "612 [386]"},
		{form, `ErpConnectionId=612&InternalKeyIds[]=386&InternalKeyIds[]=230`, 200, "612 [386 230]"},
		{"application/json-patch+json", gatewaytest.SeedBody, 200, "612 [386 230]"},
		{xm, `<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds xmlns="urn:x"><int>386</int></InternalKeyIds></r>`, 200, "612 [386]"},
		{xm, `<r><a:InternalKeyIds xmlns:a="urn:x"><a:int>386</a:int></a:InternalKeyIds><ErpConnectionId>612</ErpConnectionId></r>`, 200, "612 [386]"},

		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386],"InternalKeyIds":[]}`, 400, "/InternalKeyIds"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386],"internalkeyids":null}`, 400, "/InternalKeyIds"},
		{js, `{"ErpConnectionId":612,"ErpConnectionId":613,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":612,"\u0045rpConnectionId":613,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":"612","InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":612.0,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":6.12e2,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":2147483648,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":-2147483649,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":true,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":[612],"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":null,"InternalKeyIds":[1]}`, 400, "/ErpConnectionId"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[1,"2"]}`, 400, "/InternalKeyIds/1"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[1,2,3.5]}`, 400, "/InternalKeyIds/2"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[4294967297]}`, 400, "/InternalKeyIds/0"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[null]}`, 400, "/InternalKeyIds/0"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[[1]]}`, 400, "/InternalKeyIds/0"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[-0]}`, 400, "/InternalKeyIds/0"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":"386"}`, 400, "/InternalKeyIds"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":{"0":386}}`, 400, "/InternalKeyIds"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":386}`, 400, "/InternalKeyIds"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386,]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386],}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[0x182]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[0386]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[+386]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":NaN,"InternalKeyIds":[386]}`, 400, "body_not_understood"},
		{js, `{ErpConnectionId:612,InternalKeyIds:[386]}`, 400, "body_not_understood"},
		{js, `{'ErpConnectionId':612}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612 /* one */,"InternalKeyIds":[386]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386]} // done`, 400, "body_not_understood"},
		{js, gatewaytest.SeedBody + gatewaytest.SeedBody, 400, "body_not_understood"},
		{js, `[612,[386]]`, 400, "body_not_understood"},
		{js, `"x"`, 400, "body_not_understood"},
		{js, `{"InternalKeyIds":[386],"ErpConnectionId":612,"Note":"x"}`, 400, "body_not_understood"},
		{js, `{"Note":{"ErpConnectionId":1},"ErpConnectionId":612,"InternalKeyIds":[386]}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386],"Note":1e999999999}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyId":[386]}`, 400, "body_not_understood"},
		{js, ``, 400, "body_not_understood"},
		{js, `null`, 400, "body_not_understood"},
		{js, `{"$type":"System.Int32","ErpConnectionId":612,"InternalKeyIds":[386]}`, 400, "body_not_understood"},
		{js, `{"InternalKeyId` + "\u017f" + `":[386],"ErpConnectionId":612}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386]`, 400, "body_not_understood"},
		{"application/json-patch+json", `[{"op":"replace","path":"/ErpConnectionId","value":612}]`, 415, "media_type_unsupported"},
		{"application/json; charset=utf-16", gatewaytest.SeedBody, 400, "body_not_understood"},
		{"application/json; charset=utf-7", gatewaytest.SeedBody, 415, "media_type_unsupported"},
		{js + "; charset=utf-16; charset*=utf-8''utf-8", gatewaytest.SeedBody, 415, "media_type_unsupported"},
		{js + "; charset*0=utf-8", gatewaytest.SeedBody, 415, "media_type_unsupported"},
		{xm + "; charset*=utf-8''utf-8; charset=utf-7", `<r/>`, 415, "media_type_unsupported"},
		{form + "; charset=utf-16; charset*=utf-8''utf-8", `ErpConnectionId=612&InternalKeyIds=386`, 415, "media_type_unsupported"},
		{xm, `<r><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><x>386</x></InternalKeyIds></r>`, 400, "/InternalKeyIds"},
		{xm, `<r xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"><ErpConnectionId>612</ErpConnectionId></r>`, 400, "body_not_understood"},
		{xm, `<?xml version="1.0" encoding = "utf-7"?><r><ErpConnectionId>612</ErpConnectionId></r>`, 400, "body_not_understood"},
		{form, "\xef\xbb\xbfErpConnectionId=612&InternalKeyIds=386", 400, "body_not_understood"},
		{form, `ErpConnectionId=612&InternalKeyIds%00=386`, 400, "body_not_understood"},
		{form, `request=x&ErpConnectionId=612&InternalKeyIds=386`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612&InternalKeyIds[]=`, 400, "/InternalKeyIds/0"},
		{form, `InternalKeyIds=`, 400, "/InternalKeyIds/0"},
		{"text/plain", gatewaytest.SeedBody, 415, "media_type_unsupported"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><ErpConnectionId>613</ErpConnectionId></ForceResync>`, 400, "/ErpConnectionId"},
		{xm, `<ForceResync><erpConnectionId>612</erpConnectionId></ForceResync>`, 400, "body_not_understood"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>x</int></InternalKeyIds></ForceResync>`, 400, "/InternalKeyIds/0"},
		{xm, `<!DOCTYPE a [<!ENTITY e "612">]><ForceResync><ErpConnectionId>&e;</ErpConnectionId></ForceResync>`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612&ErpConnectionId=613&InternalKeyIds=1`, 400, "/ErpConnectionId"},
		{form, `ErpConnectionId=612&InternalKeyIds[0]=386&InternalKeyIds[2]=230`, 400, "/InternalKeyIds"},
		{form, `ErpConnectionId=612;InternalKeyIds=386`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612&InternalKeyIds=386,230`, 400, "/InternalKeyIds/0"},
	} {
		g.SO.Forget()
		header := g.Service()
		header.Set("Content-Type", c.media)
		header.Set("ErpSync-Confirm", "all")
		got := g.Do(nil, http.MethodPost, gatewaytest.TenantPath, c.body, header)
		if got.Status != c.status {
			t.Errorf("%s %q: %d %s", c.media, c.body, got.Status, got.Body)
			continue
		}
		runs := g.SO.Runs()
		switch {
		case c.status != 200 && (len(g.Sent()) != 0 || !strings.Contains(got.Body, `"`+c.says+`"`)):
			t.Errorf("%q: %s, %d sent", c.body, got.Body, len(g.Sent()))
		case c.status == 200 && (len(runs) != 1 || strings.Replace(fmt.Sprint(runs[0].Connection, runs[0].Keys), "<nil>", "[]", 1) != c.says):
			t.Errorf("%q: SuperOffice ran %+v", c.body, runs)
		case c.status == 200:
			if line := g.Audited(); fmt.Sprint(line["connection_id"]) != strings.Fields(c.says)[0] || line["resync_all"] != strings.HasSuffix(c.says, "[]") {
				t.Errorf("%q: told as %v", c.body, line)
			}
			var sent struct {
				ErpConnectionId int //nolint:revive // the wire's spelling
				InternalKeyIds  []int
			}
			decoder := json.NewDecoder(bytes.NewReader(g.Sent()[0].Body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&sent); err != nil || fmt.Sprint(sent.ErpConnectionId, sent.InternalKeyIds) != c.says || g.Sent()[0].Header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%q: sent as %s (%v)", c.body, g.Sent()[0].Body, err)
			}
		}
	}
}
