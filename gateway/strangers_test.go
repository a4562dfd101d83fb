package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/internal/gatewaytest"
)

// An unproved caller must not fill the app's rate, which all who are proved share.
func TestJunkCredentialsTakeNothingFromTheAppsRate(t *testing.T) {
	t.Parallel()
	asked := new(atomic.Int32)
	f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) { c.Limits.PerSecond = 10 }), counting("/currentprincipal", asked))
	good := http.Header{"Authorization": {"SOTicket " + f.SO.Ticket("portal", "Cust12345", "per")}}
	if got := f.Resync(good); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	statuses, began := make(map[int]int), time.Now()
	for i := range 300 {
		got := f.Resync(http.Header{"Authorization": {fmt.Sprintf("SOTicket 7T:junk%d", i)}})
		statuses[got.Status]++
	}
	// An address has 20 questions at once and two a second.
	most := 20 + 1 + int(2*time.Since(began).Seconds())
	if n := statuses[http.StatusUnauthorized]; n < 1 || n > most || n+statuses[http.StatusTooManyRequests] != 300 {
		t.Errorf("the junk was answered %v in %s", statuses, time.Since(began))
	}
	if n := int(asked.Load()); n < 10 || n > most+1 {
		t.Errorf("SuperOffice was asked %d times in %s", n, time.Since(began))
	}
	if got := f.Do(nil, http.MethodPost, gatewaytest.TenantPath, `{"ErpConnectionId":612,"InternalKeyIds":[230]}`, good); got.Status != http.StatusOK {
		t.Errorf("a proved caller beside it: %d %s", got.Status, got.Body)
	}
}

func TestAStrangerLearnsNothingOfWhichTenantsExist(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t, gatewaytest.Configure(func(c *gateway.Config) {
		c.Apps[0].AnyTenant = &auth.TenantGrant{}
	}))
	var first gatewaytest.Answer
	for i, tenant := range []string{"Cust12345", "Cust77777", "Cust54321", "Cust99999"} { // known, not running, another, unknown
		got := f.Do(nil, http.MethodPost, strings.Replace(gatewaytest.TenantPath, "Cust12345", tenant, 1), gatewaytest.SeedBody, http.Header{"Authorization": {"SOTicket 7T:junk"}})
		_, said, _ := strings.Cut(got.Body, `"title"`)
		said, _, _ = strings.Cut(said, `"instance"`)
		got.Body = said
		if i == 0 {
			first = got
		}
		if got.Status != http.StatusUnauthorized || got.Body != first.Body {
			t.Errorf("%s: %d %s, the first %s", tenant, got.Status, got.Body, first.Body)
		}
	}
}

// A flood of junk codes from one address takes nothing from those who sign in from others.
func TestAFloodOnTheCallbackStopsNobodyElseFromSigningIn(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	flooder := http.Header{"X-Test-Address": {"192.0.2.66"}}
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				begun := f.Do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345", "", flooder)
				cookie, _, _ := strings.Cut(begun.Header.Get("Set-Cookie"), ";")
				_, state, _ := strings.Cut(begun.Header.Get("Location"), "state=")
				state, _, _ = strings.Cut(state, "&")
				header := flooder.Clone()
				header.Set("Cookie", cookie)
				f.Do(nil, http.MethodGet, "/erpsync/callback?code=junk&state="+state, "", header)
			}
		}
	})
	for i := range 12 {
		if _, _, err := demo.SignIn(t.Context(), f.Site, f.SO, "Cust12345", "per"); err != nil {
			t.Errorf("sign-in %d: %v", i, err)
		}
	}
	close(stop)
	flood.Wait()
}

// counting counts the requests to SuperOffice whose path ends so.
func counting(suffix string, n *atomic.Int32) gatewaytest.Option {
	return gatewaytest.Answering(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(strings.ToLower(r.URL.Path), suffix) {
			n.Add(1)
		}
		return false
	})
}

func TestAStateIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	asked := new(atomic.Int32)
	f := gatewaytest.New(t, counting("/oauth/tokens", asked))
	begun := f.Do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345", "", nil)
	cookie, _, _ := strings.Cut(begun.Header.Get("Set-Cookie"), ";")
	_, state, _ := strings.Cut(begun.Header.Get("Location"), "state=")
	state, _, _ = strings.Cut(state, "&")
	header := http.Header{"Cookie": {cookie}}
	for range 5 { // whatever is answered, SuperID is asked once
		f.Do(nil, http.MethodGet, "/erpsync/callback?code=junk&state="+state, "", header)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("SuperID was asked %d times", n)
	}
}

func TestABrowserHasABoundedNumberOfAttemptsSideBySide(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	cookies := make(map[string]string)
	for range 12 {
		var lines []string
		for name, value := range cookies {
			lines = append(lines, name+"="+value)
		}
		got := f.Do(nil, http.MethodGet, "/erpsync/sign-in?tenant=Cust12345", "", http.Header{"Cookie": {strings.Join(lines, "; ")}})
		resp := http.Response{Header: got.Header}
		for _, set := range resp.Cookies() {
			if set.MaxAge < 0 {
				delete(cookies, set.Name)
			} else {
				cookies[set.Name] = set.Value
			}
		}
		if len(cookies) > 5 {
			t.Fatalf("%d attempts", len(cookies))
		}
	}
	if len(cookies) != 5 {
		t.Errorf("%d attempts", len(cookies))
	}
}
