package sandbox_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

func TestWhatIsNotSuperOfficesIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t, sandbox.WithOnsite("/crm7"))
	per := o.User("Cust12345", "per")
	basic := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("per:"+per.Password))}}
	cookie, xsrf := o.WebSession("Cust12345", "per")
	for name, c := range map[string]struct {
		path   string
		header http.Header
		want   int
	}{
		"nobody":                         {resync, nil, 401},
		"Basic Online":                   {resync, basic, 401},
		"Basic onsite":                   {"/crm7/api/v1/Agents/ErpSync/ForceResync", basic, 200},
		"a ticket without SO-AppToken":   {resync, http.Header{"Authorization": {"SOTicket " + o.Ticket("portal", "Cust12345", "per")}}, 401},
		"a ticket with another app's":    {resync, http.Header{"Authorization": {"SOTicket " + o.Ticket("portal", "Cust12345", "per")}, "So-Apptoken": {o.App("erp").ClientSecret}}, 401},
		"a ticket with its own":          {resync, o.ticket("portal"), 200},
		"another tenant's Bearer":        {resync, http.Header{"Authorization": {"Bearer " + o.AccessToken("portal", "Cust54321", "per")}}, 401},
		"a session without its XSRF":     {resync, http.Header{"Cookie": {"ASP.NET_SessionId=" + cookie}}, 401},
		"a session with its XSRF":        {resync, http.Header{"Cookie": {"ASP.NET_SessionId=" + cookie}, "X-Xsrf-Token": {xsrf}}, 403}, // of no app
		"an app without the agent":       {resync, o.bearer("quote"), 403},
		"an operation that there is not": {api + "Agents/ErpSync/Nothing", o.bearer("portal"), 404},
	} {
		if got := o.do(http.MethodPost, c.path, seed, c.header); got.status != c.want {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := o.do(http.MethodGet, resync, "", o.bearer("portal")); got.status != 200 || !strings.Contains(got.body, "POST Agents/ErpSync/ForceResync") {
		t.Errorf("a GET is answered by %d %s", got.status, got.body)
	}
	for _, path := range []string{"User/currentToken", "archive/ErpConnection", "MDOList/erpconnections"} {
		if got := o.do(http.MethodPost, api+path, "{}", o.bearer("portal")).status; got != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: HTTP %d", path, got)
		}
	}
}

func TestARestrictedAgentIsRefusedInEveryShape(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for shape, want := range map[string]string{
		"error": "403 ErrorMessage", "message": `403 "Message"`, "aspnet": "403 MessageDetail", "empty": "403 ", "html": "403 <!doctype", "unauthorized": "401 MessageDetail", "not_found": "404 No HTTP resource",
	} {
		o.on("refusal", shape)
		got := o.do(http.MethodPost, resync, seed, o.bearer("quote"))
		status, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) || shape == "empty" && got.body != "" {
			t.Errorf("%s: %d %s", shape, got.status, got.body)
		}
	}
	if len(o.Runs()) != 0 {
		t.Error("something ran")
	}
}

func TestAPersonWithoutRightsIsRefusedEitherWay(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.on("without_rights", "tove")
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := o.do(http.MethodGet, api+"User/currentPrincipal", "", o.bearer("portal")).field("FunctionRights"); fmt.Sprint(got) != "[]" {
		t.Errorf("the principal has %v", got)
	}
	o.on("rights_refusal", "outcome")
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")); got.status != 200 || got.field("IsOk") != false || got.field("ErrorCode") != "ACCESS_DENIED" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(o.Runs()) != 0 {
		t.Error("something ran")
	}
	o.on("without_rights", "system")
	ticket, _ := read(t, o.systemUser(0, o.SystemToken("erp", "Cust12345")).field("Token"))[claims+"ticket"].(string)
	system := http.Header{"Authorization": {"SOTicket " + ticket}, "So-Apptoken": {o.App("erp").ClientSecret}}
	if got := o.do(http.MethodPost, resync, seed, system); got.field("IsOk") != true {
		t.Errorf("the system user passes every check: %d %s", got.status, got.body)
	}
	o.on("without_rights", "tove")
	per := http.Header{"Authorization": {"Bearer " + o.AccessToken("portal", "Cust12345", "per")}}
	if got := o.do(http.MethodPost, resync, seed, per); got.field("IsOk") != true {
		t.Errorf("everybody else: %s", got.body)
	}
}

func TestCallsFailAsAskedAsOftenAndWhere(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	header := o.bearer("portal")
	for fault, c := range map[string]struct{ status, ran int }{
		"401": {401, 0}, "403": {403, 0}, "421": {421, 0}, "429": {429, 0}, "503": {503, 0}, "500": {500, 1}, "html": {200, 1}, "cut": {200, 1}, "abort": {0, 1},
	} {
		o.Forget()
		o.defaults()
		o.on("fault", fault)
		o.on("fault_times", "1")
		got := o.do(http.MethodPost, resync, seed, header)
		if got.status != c.status || len(o.Runs()) != c.ran || (got.err != nil) != (fault == "cut" || fault == "abort") {
			t.Errorf("%s: %d %s %v, ran %d", fault, got.status, got.body, got.err, len(o.Runs()))
		}
		if got := o.do(http.MethodPost, resync, seed, header); got.field("IsOk") != true {
			t.Errorf("the call after %s once: %d %s", fault, got.status, got.body)
		}
	}
	o.defaults()
	o.on("fault", "429")
	if got := o.do(http.MethodPost, resync, seed, header).header.Get("Retry-After"); got != "" {
		t.Errorf("Retry-After %q", got)
	}
	o.on("retry_after", "7")
	if got := o.do(http.MethodPost, resync, seed, header).header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After %q", got)
	}
	for _, c := range []struct {
		name, value string
		want        int
	}{{"fault_tenant", "cust54321", 200}, {"fault_tenant", "cust12345", 429}, {"fault_connection", "613", 200}, {"fault_connection", "612", 429}} {
		o.defaults()
		o.on("fault", "429")
		o.on(c.name, c.value)
		if got := o.do(http.MethodPost, resync, seed, header).status; got != c.want {
			t.Errorf("%s=%s: HTTP %d", c.name, c.value, got)
		}
	}
	o.defaults()
	o.on("fault", "401")
	if got := o.do(http.MethodGet, api+"User/currentToken", "", header).status; got != 200 {
		t.Errorf("fault_at=agent: currentToken has HTTP %d", got)
	}
	o.on("fault_at", "api")
	if got := o.do(http.MethodGet, api+"User/currentToken", "", header).status; got != 401 {
		t.Errorf("fault_at=api: currentToken has HTTP %d", got)
	}
}

func TestAHangingCallEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, value := range map[string]string{"fault": "hang", "erp_duration": "1h"} {
		o.Forget()
		o.defaults()
		o.on(name, value)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for ctx.Err() == nil && len(o.Runs()) == 0 { // its caller leaves once it runs
				time.Sleep(time.Millisecond)
			}
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Base()+resync, strings.NewReader(seed))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = o.bearer("portal")
		req.Header.Set("Content-Type", "application/json")
		resp, err := o.client.Do(req)
		if resp != nil {
			resp.Body.Close()
		}
		cancel()
		if !errors.Is(err, context.Canceled) || len(o.Runs()) != 1 {
			t.Errorf("%s: %v, ran %d", name, err, len(o.Runs()))
		}
	}
}

func TestAResyncTakesAsLongAsTheERPDoes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.on("erp_duration", "60ms")
	started := time.Now()
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")); got.field("IsOk") != true || time.Since(started) < 60*time.Millisecond {
		t.Errorf("%s after %v", got.body, time.Since(started))
	}
	o.on("erp_duration", "1h")
	if got := o.do(http.MethodPost, api+"Agents/ErpSync/GetEngineStatus", "", o.bearer("portal")); got.status != 200 {
		t.Errorf("what asks no ERP waits as well: %d %v", got.status, got.err)
	}
}

func TestAResyncComesToWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for outcome, want := range map[string]string{
		"as_it_is": "200 true Ok", "ok": "200 true Ok", "info": "200 true OkWithInfo", "warning": "200 true Warning", "warn": "200 true Warn", "error": "200 false Error",
		"contradictory": "200 true Error", "nulled": "200 <nil> <nil>", "null": "200 <nil> <nil>", "no_content": "204 <nil> <nil>",
	} {
		o.on("outcome", outcome)
		got := o.do(http.MethodPost, resync, seed, o.bearer("portal"))
		if text := fmt.Sprint(got.status, " ", got.field("IsOk"), " ", got.field("Status")); text != want || (outcome == "null") != (got.body == "null") {
			t.Errorf("%s: %s, %s", outcome, text, got.body)
		}
	}
	o.defaults()
	o.on("erp", "gone")
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")).field("ErrorCode"); got != "CONNECTOR_TIMEOUT" {
		t.Errorf("a gone ERP: %v", got)
	}
	if got := o.do(http.MethodPost, api+"Agents/ErpSync/ForceResyncBatchTask", seed, o.bearer("portal")); got.status != 204 || got.body != "" {
		t.Errorf("the batch task: %d %s", got.status, got.body)
	}
}

func TestExpiredAndForgottenCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ask := func(header http.Header) int {
		return o.do(http.MethodGet, api+"User/currentPrincipal", "", header).status
	}
	for _, status := range []int{401, 403} {
		o.on("expired_token", fmt.Sprint(status))
		access := o.bearer("portal")
		o.clock.advance(59 * time.Minute)
		if ask(access) != 200 {
			t.Error("an access token ended before its hour")
		}
		o.clock.advance(2 * time.Minute)
		if got := ask(access); got != status {
			t.Errorf("an expired access token: HTTP %d, want %d", got, status)
		}
		ticket := o.ticket("portal")
		for range 3 { // each use makes it new
			o.clock.advance(5 * time.Hour)
			if ask(ticket) != 200 {
				t.Error("a ticket that is in use ended")
			}
		}
		o.clock.advance(7 * time.Hour)
		if got := ask(ticket); got != status {
			t.Errorf("an expired ticket: HTTP %d, want %d", got, status)
		}
		if got := ask(http.Header{"Authorization": {"Bearer 8A:Cust12345.unknown"}}); got != 401 {
			t.Errorf("an unknown token: HTTP %d", got)
		}
	}
	cookie, xsrf := o.WebSession("Cust12345", "per")
	o.Expire("session")
	if got := ask(http.Header{"Cookie": {"ASP.NET_SessionId=" + cookie}, "X-Xsrf-Token": {xsrf}}); got != 401 {
		t.Errorf("an expired session: HTTP %d", got)
	}
	o.defaults()
	o.on("ticket_forgotten", "30s")
	ticket := o.ticket("portal")
	o.clock.advance(29 * time.Second)
	if ask(ticket) != 200 {
		t.Error("forgotten too early")
	}
	o.clock.advance(time.Second)
	if got := ask(ticket); got != 401 {
		t.Errorf("a ticket that was used a second ago and is forgotten: HTTP %d", got)
	}
	o.defaults()
	o.on("ticket_lifetime", "1m")
	ticket = o.ticket("portal")
	o.clock.advance(time.Minute)
	if ask(ticket) != 401 {
		t.Error("a ticket outlived its lifetime")
	}
}

func TestCurrentTokenIsTheSessionsOwnOrNotThere(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	cookie, xsrf := o.WebSession("Cust12345", "per")
	header := http.Header{"Cookie": {"ASP.NET_SessionId=" + cookie}, "X-Xsrf-Token": {xsrf}}
	token := strings.Trim(o.do(http.MethodGet, api+"User/currentToken", "", header).body, `"`)
	if got := o.do(http.MethodGet, api+"User/currentPrincipal", "", http.Header{"Authorization": {"Bearer " + token}}).field("Associate"); got != "per" {
		t.Errorf("the token is %v's", got)
	}
	o.on("no_current_token", "true")
	if got := o.do(http.MethodGet, api+"User/currentToken", "", header).status; got != 404 {
		t.Errorf("HTTP %d", got)
	}
}

func TestTheStateServiceFollowsAndFails(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	state := func() reply { return o.do(http.MethodGet, "/api/state/Cust12345", "", nil) }
	if got := state(); got.field("Api") != o.Base()+"/Cust12345/api" || got.field("IsRunning") != true {
		t.Errorf("%s", got.body)
	}
	o.on("tenant_path", "lower")
	if got := state().field("Api"); got != o.Base()+"/cust12345/api" {
		t.Errorf("lower: %v", got)
	}
	if got := o.do(http.MethodPost, strings.ToLower(resync), seed, o.bearer("portal")); got.field("IsOk") != true {
		t.Errorf("the lower-case host does not answer: %s", got.body)
	}
	o.on("state_valid_for", "1m")
	until, err := time.Parse(time.RFC3339Nano, fmt.Sprint(state().field("ValidUntil")))
	if err != nil || until.Sub(o.clock.Now()).Round(time.Second) != time.Minute {
		t.Errorf("valid until %v: %v", until, err)
	}
	o.SetState("Cust12345", "Suspended")
	if got := state().field("IsRunning"); got != false {
		t.Errorf("suspended: IsRunning %v", got)
	}
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")).status; got != 503 {
		t.Errorf("suspended: HTTP %d", got)
	}
	o.SetState("Cust12345", "Running")
	o.Move("Cust12345", "http://elsewhere.example")
	if got := o.do(http.MethodPost, resync, seed, o.bearer("portal")).status; got != 421 {
		t.Errorf("moved: HTTP %d", got)
	}
	for value, want := range map[string]int{"404": 404, "500": 500, "html": 200} {
		o.on("state_fault", value)
		if got := state(); got.status != want || got.field("Api") != nil {
			t.Errorf("state_fault=%s: %d %s", value, got.status, got.body)
		}
	}
}
