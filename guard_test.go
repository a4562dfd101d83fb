package erpsync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func keyed(header http.Header, key string) http.Header {
	header = header.Clone()
	header.Set("Idempotency-Key", key)
	return header
}

func TestAnIdempotencyKeyIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	first := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), "a"))
	if first.status != 200 || first.header.Get("ErpSync-Replayed") != "" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	again := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), "a"))
	if again.status != 200 || again.body != first.body || again.header.Get("Content-Type") != first.header.Get("Content-Type") ||
		again.header.Get("ErpSync-Replayed") != first.header.Get("ErpSync-Request-Id") || again.header.Get("ErpSync-Request-Id") == first.header.Get("ErpSync-Request-Id") {
		t.Errorf("repeated: %d %v %s", again.status, again.header, again.body)
	}
	if line := g.outcome(); line["decision"] != "replayed" || line["replays"] != first.header.Get("ErpSync-Request-Id") {
		t.Errorf("audit: %v", line)
	}
	if n := len(g.sent()); n != 1 {
		t.Errorf("%d sends", n)
	}
	if got := g.sent()[0].Header.Get("Idempotency-Key"); got != "" {
		t.Error("the key went upstream")
	}
	g.so.Forget()
	g.refused(g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[1]}`, keyed(g.service(), "a")), 422, "idempotency_key_reused")
	// Another person's key of the same name is another key.
	client, xsrf := g.signIn("per")
	if got := g.do(client, http.MethodPost, tenantPath, seedBody, keyed(http.Header{"X-XSRF-TOKEN": {xsrf}}, "a")); got.status != 200 || got.header.Get("ErpSync-Replayed") != "" {
		t.Errorf("another principal: %d %v", got.status, got.header)
	}
}

func TestWhatBecameOfAKeyedCallDecidesWhatItsRepeatGets(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 { // a ticket is there
		t.Fatal(got.body)
	}
	for name, c := range map[string]struct {
		answer        *sandbox.Answer
		first, repeat int
		reason        string
		sends         int
	}{
		"a failed resync is an answer":      {&sandbox.Answer{Body: `{"IsOk":false,"Status":"Error"}`}, 200, 200, "", 1},
		"so is an error of SuperOffice's":   {&sandbox.Answer{Status: 500, Body: `{"Message":"x"}`}, 500, 500, "", 1},
		"no answer is known to nobody":      {&sandbox.Answer{Abort: true}, 502, 409, "outcome_unknown", 1},
		"an answer too long is not kept":    {&sandbox.Answer{Body: `{"IsOk":true,"X":"` + strings.Repeat("x", 1<<20) + `"}`}, 200, 409, "answer_not_kept", 1},
		"an answer that is not passed runs": {&sandbox.Answer{Status: 302}, 502, 502, "upstream_answer_refused", 2},
	} {
		g.so.Forget()
		g.so.Answer(func(string, int) *sandbox.Answer { return c.answer })
		first := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), name))
		repeat := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), name))
		if first.status != c.first || repeat.status != c.repeat || !strings.Contains(repeat.body, c.reason) || len(g.sent()) != c.sends {
			t.Errorf("%s: %d, then %d %.200s, %d sends", name, first.status, repeat.status, repeat.body, len(g.sent()))
		}
	}
}

func TestAKeyedCallWhoseCallerLeftIsFinishedAndItsAnswerKept(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer {
		return &sandbox.Answer{Hold: held, Body: `{"IsOk":true,"ErrorCode":"late"}`}
	})
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.site+tenantPath, strings.NewReader(seedBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = keyed(g.service(), "a")
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	gone := make(chan error)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	waitFor(t, func() bool { return len(g.sent()) == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), "a")); got.status != 409 || !strings.Contains(got.body, "call_running") {
		t.Errorf("while it runs: %d %s", got.status, got.body)
	}
	close(held)
	waitFor(t, func() bool {
		got := g.do(nil, http.MethodPost, tenantPath, seedBody, keyed(g.service(), "a"))
		return got.status == 200 && strings.Contains(got.body, "late")
	})
	if n := len(g.sent()); n != 1 {
		t.Errorf("%d sends", n)
	}
}

func TestADryRunTellsAndSendsNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	header := g.service()
	header.Set("ErpSync-Dry-Run", "true")
	header.Set("Idempotency-Key", "a")
	got := g.do(nil, http.MethodPost, tenantPath, seedBody, header)
	for _, want := range []string{`"dry_run":true`, `"decision":"allowed"`, `"app":"erp"`, `"tenant":"Cust12345"`, `"connection_id":612`, `"keys":2`, `"call_as":"system"`} {
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("no %s in %d %s", want, got.status, got.body)
		}
	}
	if g.outcome()["decision"] != "dry_run" || len(g.so.Requests()) != 0 || g.so.Mints("ticket") != 0 {
		t.Errorf("%v; %d requests, %d tickets", g.outcome(), len(g.so.Requests()), g.so.Mints("ticket"))
	}
	g.refused(g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612}`, header), 403, "resync_all_unconfirmed")
	header.Del("ErpSync-Dry-Run")
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, header); got.status != 200 || got.header.Get("ErpSync-Replayed") != "" {
		t.Errorf("the real call after it: %d %v", got.status, got.header)
	}
	g.so.Forget()
	for name, value := range map[string]string{"ErpSync-Dry-Run": "yes", "Idempotency-Key": "ø"} {
		header := g.service()
		header.Set(name, value)
		g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, header), 400, "header_not_understood")
	}
	g.refused(g.do(nil, http.MethodPost, tenantPath, seedBody, http.Header{"Authorization": g.service()["Authorization"], "Erpsync-Dry-Run": {"false", "true"}}), 400, "header_not_understood")
}

func TestTheSameCallTwiceAtOnceIsRefusedWhateverTheOrderOfItsKeys(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan answer)
	go func() { done <- g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()) }()
	waitFor(t, func() bool { return len(g.sent()) == 1 })
	twice := g.do(nil, http.MethodPost, tenantPath, `{"InternalKeyIds":[230,386,386],"ErpConnectionId":612}`, g.service())
	if twice.status != 409 || !strings.Contains(twice.body, "call_running") {
		t.Errorf("%d %s", twice.status, twice.body)
	}
	other := make(chan answer)
	go func() {
		other <- g.do(nil, http.MethodPost, tenantPath, `{"InternalKeyIds":[230],"ErpConnectionId":612}`, g.service())
	}()
	waitFor(t, func() bool { return len(g.sent()) == 2 })
	close(held)
	first := <-done
	if first.status != 200 || (<-other).status != 200 || !strings.Contains(twice.body, first.header.Get("ErpSync-Request-Id")) {
		t.Errorf("%d; %s does not name %s", first.status, twice.body, first.header.Get("ErpSync-Request-Id"))
	}
	if got := g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

func TestLimitsTurnAwayAtOnce(t *testing.T) {
	t.Parallel()
	config := strings.Replace(apps, "rate off", "rate 3\n\t\tin_flight connection 1\n\t\tcool_down 1h", 1)
	g := newGateway(t, config)
	held := make(chan struct{})
	g.so.Answer(func(string, int) *sandbox.Answer { return &sandbox.Answer{Hold: held, Body: `{"IsOk":true}`} })
	done := make(chan answer)
	go func() { done <- g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()) }()
	waitFor(t, func() bool { return len(g.sent()) == 1 })
	const next = `{"ErpConnectionId":612,"InternalKeyIds":[1]}`
	if got := g.do(nil, http.MethodPost, tenantPath, next, g.service()); got.status != 429 || !strings.Contains(got.body, "too_many_in_flight") || got.header.Get("Retry-After") == "" {
		t.Errorf("a second one in flight: %d %s", got.status, got.body)
	}
	close(held)
	<-done
	turned := false
	for range 10 {
		got := g.do(nil, http.MethodPost, tenantPath, next, g.service())
		turned = turned || got.status == 429 && strings.Contains(got.body, "rate_limited") && got.header.Get("Retry-After") == "1"
	}
	if !turned {
		t.Error("ten calls in an instant went through a limit of three a second")
	}
	g = newGateway(t, strings.Replace(apps, "rate off", "rate off\n\t\tcool_down 1h", 1))
	all := g.service()
	all.Set("ErpSync-Confirm", "all")
	if got := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612}`, all); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := g.do(nil, http.MethodPost, tenantPath, `{"ErpConnectionId":612}`, all); got.status != 429 || !strings.Contains(got.body, "cooling_down") || got.header.Get("Retry-After") == "" {
		t.Errorf("everything again: %d %s", got.status, got.body)
	}
	for name, body := range map[string]string{"another connection": `{"ErpConnectionId":613}`, "named keys": seedBody} {
		if got := g.do(nil, http.MethodPost, tenantPath, body, all); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestATenantThatCannotBeReachedIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	g := newGateway(t, strings.Replace(apps, "environment {base}", "environment {base} "+closed.URL, 1))
	g.do(nil, http.MethodPost, tenantPath, seedBody, g.service())
	g.so.Move("Cust12345", closed.URL)
	gone := func() answer { return g.do(nil, http.MethodPost, tenantPath, seedBody, g.service()) }
	gone() // 421 of the old host sends the gateway to the new one
	g.so.Forget()
	began, n := time.Now(), 0
	for range 50 {
		if got := gone(); got.status == 502 && strings.Contains(got.body, "upstream_unreachable") {
			n++
		}
	}
	if cause := g.outcome()["outcome_cause"]; n != 50 || cause != "a_moment_ago" {
		t.Errorf("%d of 50 were told so in %s, the last because %v", n, time.Since(began), cause)
	}
}

// TestWhatIsAcceptedIsWhatSuperOfficeUnderstands sends bodies that readers could read
// differently. What passes must be understood alike on both sides; all else is refused with its place.
func TestWhatIsAcceptedIsWhatSuperOfficeUnderstands(t *testing.T) {
	t.Parallel()
	g := newGateway(t, apps)
	const js, xm, form = "application/json", "application/xml", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		media, body string
		status      int
		says        string // a refusal's pointer or reason, or the connection and keys that run
	}{
		{js, seedBody, 200, "612 [386 230]"},
		{js, `{"erpConnectionId":612,"internalKeyIds":[386]}`, 200, "612 [386]"},
		{js, `{"ERPCONNECTIONID":612,"iNTERNALkEYiDS":[386]}`, 200, "612 [386]"},
		{js, "\n\t {\"ErpConnectionId\" : 612 , \"InternalKeyIds\" : [ 386 ] } \r\n", 200, "612 [386]"},
		{js, `{"InternalKeyIds":[386],"ErpConnectionId":612,"Note":"x"}`, 200, "612 [386]"},
		{js, `{"Note":{"ErpConnectionId":1},"ErpConnectionId":612,"InternalKeyIds":[386]}`, 200, "612 [386]"},
		{js, `{"\u0045rpConnectionId":612,"InternalKeyIds":[386]}`, 200, "612 [386]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[2147483647,-2147483648]}`, 200, "612 [2147483647 -2147483648]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386,386]}`, 200, "612 [386 386]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[0]}`, 200, "612 [0]"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[]}`, 200, "612 []"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":null}`, 200, "612 []"},
		{js, `{"ErpConnectionId":612}`, 200, "612 []"},
		{"text/json", seedBody, 200, "612 [386 230]"},
		{"application/merge-patch+json", seedBody, 200, "612 [386 230]"},
		{"Application/JSON;charset=UTF-8", seedBody, 200, "612 [386 230]"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>386</int></InternalKeyIds></ForceResync>`, 200, "612 [386]"},
		{"text/xml", `<ForceResync><InternalKeyIds><int>386</int><int>230</int></InternalKeyIds><ErpConnectionId>612</ErpConnectionId></ForceResync>`, 200, "612 [386 230]"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><!-- all --><InternalKeyIds/></ForceResync>`, 200, "612 []"},
		{form, `ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230`, 200, "612 [386 230]"},
		{form, `InternalKeyIds=386&ErpConnectionId=612`, 200, "612 [386]"},

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
		{js, seedBody + seedBody, 400, "body_not_understood"},
		{js, `[612,[386]]`, 400, "body_not_understood"},
		{js, `"x"`, 400, "body_not_understood"},
		{js, "\xef\xbb\xbf" + seedBody, 400, "body_not_understood"},
		{js, `{"$type":"System.Int32","ErpConnectionId":612,"InternalKeyIds":[386]}`, 400, "body_not_understood"},
		{js, `{"InternalKeyId` + "\u017f" + `":[386],"ErpConnectionId":612}`, 400, "body_not_understood"},
		{js, `{"ErpConnectionId":612,"InternalKeyIds":[386]`, 400, "body_not_understood"},
		{"application/json-patch+json", `[{"op":"replace","path":"/ErpConnectionId","value":612}]`, 415, "media_type_unsupported"},
		{"application/json; charset=utf-16", seedBody, 415, "media_type_unsupported"},
		{"text/plain", seedBody, 415, "media_type_unsupported"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><ErpConnectionId>613</ErpConnectionId></ForceResync>`, 400, "/ErpConnectionId"},
		{xm, `<ForceResync><erpConnectionId>612</erpConnectionId></ForceResync>`, 400, "/ErpConnectionId"},
		{xm, `<ForceResync><ErpConnectionId>612</ErpConnectionId><InternalKeyIds><int>x</int></InternalKeyIds></ForceResync>`, 400, "/InternalKeyIds/0"},
		{xm, `<!DOCTYPE a [<!ENTITY e "612">]><ForceResync><ErpConnectionId>&e;</ErpConnectionId></ForceResync>`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612&ErpConnectionId=613&InternalKeyIds=1`, 400, "/ErpConnectionId"},
		{form, `ErpConnectionId=612&InternalKeyIds[0]=386&InternalKeyIds[2]=230`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612;InternalKeyIds=386`, 400, "body_not_understood"},
		{form, `ErpConnectionId=612&InternalKeyIds=386,230`, 400, "/InternalKeyIds/0"},
	} {
		g.so.Forget()
		header := g.service()
		header.Set("Content-Type", c.media)
		header.Set("ErpSync-Confirm", "all")
		got := g.do(nil, http.MethodPost, tenantPath, c.body, header)
		if got.status != c.status {
			t.Errorf("%s %q: %d %s", c.media, c.body, got.status, got.body)
			continue
		}
		runs := g.so.Runs()
		switch {
		case c.status != 200 && (len(g.sent()) != 0 || !strings.Contains(got.body, `"`+c.says+`"`)):
			t.Errorf("%q: %s, %d sent", c.body, got.body, len(g.sent()))
		case c.status == 200 && (len(runs) != 1 || strings.Replace(fmt.Sprint(runs[0].Connection, runs[0].Keys), "<nil>", "[]", 1) != c.says):
			t.Errorf("%q: SuperOffice ran %+v", c.body, runs)
		case c.status == 200:
			if line := g.outcome(); fmt.Sprint(line["connection_id"]) != strings.Fields(c.says)[0] || line["resync_all"] != strings.HasSuffix(c.says, "[]") {
				t.Errorf("%q: told as %v", c.body, line)
			}
		}
	}
}
