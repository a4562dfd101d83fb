package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/claim"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// of is a request of a call with everything that a call can want.
func of(id string) *claim.Request {
	return &claim.Request{
		ID: id, Token: strings.Repeat("t", claimLength-len(id)) + id,
		Places: []claim.Place{{Name: "connection", Most: 4}, {Name: "tenant", Most: 10}, {Name: "app", Most: 500}},
	}
}

func ask(t *testing.T, s *Store, gateway string, r *claim.Request) claim.Result {
	t.Helper()
	result, err := s.Claims.Claim(t.Context(), gateway, r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func holding(r *claim.Request) claim.Holding {
	h := claim.Holding{ID: r.ID}
	for _, p := range r.Places {
		h.Places = append(h.Places, p.Name)
	}
	for _, name := range []string{r.Lease, r.Key.Name} {
		if name != "" {
			h.Leases = append(h.Leases, name)
		}
	}
	return h
}

func TestPlacesHoldOverAllGatewaysAndAreFreeOnceGivenBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	one, two := open(t, server, "p"), open(t, server, "p")
	for i := range 4 {
		if got := ask(t, []*Store{one, two}[i%2], fmt.Sprint("g", i%2), of(fmt.Sprint(i))); got.Refused != claim.Granted {
			t.Fatalf("%d: %+v", i, got)
		}
	}
	if got := ask(t, two, "g1", of("4")); got.Refused != claim.ByPlace || got.Full != 0 {
		t.Errorf("a fifth: %+v", got)
	}
	// What a refused call took before it was refused is not counted: a wider place had room.
	other := of("5")
	other.Places[0].Name, other.Places[1].Most = "another", 5
	if got := ask(t, two, "g1", other); got.Refused != claim.Granted {
		t.Errorf("through another connection: %+v", got)
	}
	again := of("0") // its answer was lost, and it is asked for once more
	if got := ask(t, one, "g0", again); got.Refused != claim.Granted {
		t.Errorf("the same question: %+v", got)
	}
	if err := one.Claims.Return(t.Context(), "g0", []claim.Holding{holding(again)}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, two, "g1", of("4")); got.Refused != claim.Granted {
		t.Errorf("after one was given back: %+v", got)
	}
}

func TestARateHoldsOverAllGatewaysByTheStoresClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stores := []*Store{open(t, server, "p"), open(t, server, "p"), open(t, server, "p")}
	rate := claim.Rate{Name: "r", PerSecond: 0.001, Burst: 10}
	granted := 0
	for i := range 40 {
		r := of(fmt.Sprint(i))
		r.Places, r.Rate = nil, rate
		switch got := ask(t, stores[i%3], fmt.Sprint("g", i%3), r); got.Refused {
		case claim.Granted:
			granted++
		case claim.ByRate:
			if got.Wait <= 0 || got.Wait > 3*1000*time.Second {
				t.Errorf("%s", got.Wait)
			}
		default:
			t.Errorf("%+v", got)
		}
	}
	if granted < 8 || granted > 10 { // the last ones may be left to the gateways that wait
		t.Errorf("%d of 40 at once were granted, of 10", granted)
	}
	if err := stores[0].Claims.Return(t.Context(), "g0", []claim.Holding{{Charge: claim.Rate{Name: "other", PerSecond: 0.001, Burst: 1}}}); err != nil {
		t.Fatal(err)
	}
	r := of("x")
	r.Places, r.Rate = nil, claim.Rate{Name: "other", PerSecond: 0.001, Burst: 1}
	if got := ask(t, stores[1], "g1", r); got.Refused != claim.ByRate {
		t.Errorf("what the gateway asked by itself is not charged: %+v", got)
	}
}

// A gateway with a flood leaves the next one to a gateway that was refused.
func TestGatewaysTakeTurnsWhereNotAllCanBeServed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	n := 0
	press := func(gateway string) claim.Result {
		n++
		r := of(fmt.Sprint(n))
		r.Places, r.Rate = nil, claim.Rate{Name: "r", PerSecond: 50, Burst: 1}
		return ask(t, s, gateway, r)
	}
	served := map[string]int{}
	for deadline := time.Now().Add(patience); served["trickle"] < 10; {
		for range 20 { // twenty of the flood for one of the others
			if press("flood").Refused == claim.Granted {
				served["flood"]++
			}
		}
		if press("trickle").Refused == claim.Granted {
			served["trickle"]++
		}
		if time.Now().After(deadline) {
			break
		}
	}
	if served["trickle"] < 10 || served["flood"] > 4*served["trickle"] {
		t.Errorf("served: %v", served)
	}

	// The same for places: the one that waits gets the next that is free, although the other asks first.
	place := func(gateway string, waits bool) (*claim.Request, claim.Result) {
		n++
		r := of(fmt.Sprint(n))
		r.Places, r.Waits = []claim.Place{{Name: "c", Most: 1}}, waits
		return r, ask(t, s, gateway, r)
	}
	first, got := place("flood", true)
	if got.Refused != claim.Granted {
		t.Fatal(got)
	}
	giveBack := func(gateway string, r *claim.Request) {
		t.Helper()
		if err := s.Claims.Return(t.Context(), gateway, []claim.Holding{holding(r)}); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = place("trickle", true)
	giveBack("flood", first)
	turns := map[string]int{}
	for range 6 { // each asks while the other holds the place
		for _, gateway := range []string{"flood", "trickle"} {
			r, got := place(gateway, true)
			if got.Refused == claim.Granted {
				turns[gateway]++
				other := map[string]string{"flood": "trickle", "trickle": "flood"}[gateway]
				_, _ = place(other, true)
				giveBack(gateway, r)
			}
		}
	}
	if turns["flood"] < 2 || turns["trickle"] < 2 {
		t.Errorf("places: %v", turns)
	}
}

func TestAClaimThatIsRefusedTakesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	full := func(id string) *claim.Request {
		r := of(id)
		r.Key = claim.Key{Name: "key " + id, Note: "note", Keep: time.Minute}
		r.Lease, r.Unended = "same", "unended"
		r.CoolDown = claim.CoolDown{Name: "cool " + id, Until: "then", Period: time.Minute}
		return r
	}
	first := full("1")
	if got := ask(t, s, "g", first); got.Refused != claim.Granted {
		t.Fatal(got)
	}
	if got := ask(t, s, "g", full("2")); got.Refused != claim.ByLease || got.Holder != "1" {
		t.Errorf("the same call: %+v", got)
	}
	if _, found, err := s.Values.Get(t.Context(), "key 2"); found || err != nil {
		t.Errorf("its key is used up: %v", err)
	}
	if n := clientOf(t, server).ZCard(t.Context(), "{p}fconnection").Val(); n != 1 {
		t.Errorf("%d places are taken", n)
	}
	if _, found, _ := s.Values.Get(t.Context(), "cool 2"); found {
		t.Error("it began a cool-down")
	}
	if got := ask(t, s, "h", func() *claim.Request {
		r := full("1")
		r.ID = "3"
		r.Token = strings.Repeat("u", claimLength)
		return r
	}()); got.Refused != claim.ByKey || got.Holder != "1" || got.Value != "note" {
		t.Errorf("with the key of one that runs: %+v", got)
	}
	if err := s.Values.Set(t.Context(), "unended", "until id", time.Minute); err != nil {
		t.Fatal(err)
	}
	held := holding(first)
	held.Values = []claim.Value{{Name: "cool 1", Token: first.Token, Value: "then"}, {Name: "key 1", Token: strings.Repeat("x", claimLength), Value: "note"}}
	if err := s.Claims.Return(t.Context(), "g", []claim.Holding{held}); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Values.Get(t.Context(), "cool 1"); found {
		t.Error("the cool-down of a call that did not run stays")
	}
	if _, found, _ := s.Values.Get(t.Context(), "key 1"); !found {
		t.Error("a note that is another's is gone")
	}
	if got := ask(t, s, "g", full("4")); got.Refused != claim.ByUnended || got.Value != "until id" || got.Wait <= 0 {
		t.Errorf("one that may be running still: %+v", got)
	}
	cooling := full("5")
	cooling.Lease, cooling.Unended = "", ""
	if got := ask(t, s, "g", cooling); got.Refused != claim.Granted {
		t.Fatal(got)
	}
	next := full("6")
	next.Lease, next.Unended, next.CoolDown.Name = "", "", cooling.CoolDown.Name
	if got := ask(t, s, "g", next); got.Refused != claim.ByCoolDown || got.Wait <= 0 || got.Wait > time.Minute {
		t.Errorf("while it cools down: %+v", got)
	}
	next.CoolDown.Until = ""
	if got := ask(t, s, "g", next); got.Refused != claim.ByCoolDown {
		t.Errorf("a dry run while it cools down: %+v", got)
	}
}

func TestAKeyOfACallThatWaitsForAPlaceStaysItsOwn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	first := of("1")
	first.Places[0].Most = 1
	if got := ask(t, s, "g", first); got.Refused != claim.Granted {
		t.Fatal(got)
	}
	waits := of("2")
	waits.Places[0].Most, waits.Waits = 1, true
	waits.Key = claim.Key{Name: "k", Note: "note", Keep: time.Minute, Stays: true}
	if got := ask(t, s, "g", waits); got.Refused != claim.ByPlace {
		t.Fatal(got)
	}
	other := of("3")
	other.Key = claim.Key{Name: "k", Note: "note", Keep: time.Minute}
	if got := ask(t, s, "h", other); got.Refused != claim.ByKey || got.Holder != "2" {
		t.Errorf("another with its key: %+v", got)
	}
	if err := s.Claims.Return(t.Context(), "g", []claim.Holding{holding(first)}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "g", waits); got.Refused != claim.Granted {
		t.Errorf("when its place is free: %+v", got)
	}
}

func TestWhatADeadGatewayHeldIsFreeAndWhatALivingOneHoldsLasts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	client := clientOf(t, server)
	dead, living := of("dead"), of("living")
	dead.Lease, living.Lease = "dead", "living"
	for _, r := range []*claim.Request{dead, living} {
		if got := ask(t, s, r.ID, r); got.Refused != claim.Granted {
			t.Fatal(got)
		}
	}
	for _, name := range []string{"{p}fconnection", "{p}ldead", "{p}lliving"} {
		if left := client.PTTL(t.Context(), name).Val(); left <= 0 || left > claim.TTL {
			t.Errorf("%s lasts %s", name, left)
		}
	}
	// The time passes for the dead one.
	for _, place := range []string{"connection", "tenant", "app"} {
		client.ZAdd(t.Context(), "{p}f"+place, redis.Z{Score: 1, Member: "deaddead"})
	}
	client.Del(t.Context(), "{p}ldead")
	if lost, err := s.Claims.Renew(t.Context(), "living", []claim.Holding{holding(living)}); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	next := of("next")
	next.Places[0].Most, next.Lease = 2, "dead"
	if got := ask(t, s, "g", next); got.Refused != claim.Granted {
		t.Errorf("the place of the dead one: %+v", got)
	}
	if got := ask(t, s, "g", func() *claim.Request { r := of("more"); r.Places[0].Most = 2; return r }()); got.Refused != claim.ByPlace {
		t.Errorf("the place of the living one: %+v", got)
	}
	// A store that lost everything is told again, and who has taken a lease meanwhile is said.
	client.FlushAll(t.Context())
	if _, err := s.Leases.Acquire(t.Context(), "living", "other", time.Minute); err != nil {
		t.Fatal(err)
	}
	lost, err := s.Claims.Renew(t.Context(), "living", []claim.Holding{holding(of("first")), holding(living)})
	if err != nil || len(lost) != 1 || lost[1] != "other" {
		t.Errorf("%v %v", lost, err)
	}
	if n := client.ZCard(t.Context(), "{p}fapp").Val(); n != 2 {
		t.Errorf("%d are counted again", n)
	}
}

// A claim says which epochs hold, in the words in which Marks does.
func TestAClaimTellsTheEpochsAsMarksDoes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	scopes := []session.Place{{1}, {2}}
	marks := func() string {
		t.Helper()
		text, err := s.Sessions.Marks(t.Context(), func(yield func(session.Place) bool) { _ = yield(scopes[0]) && yield(scopes[1]) })
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	claims := func() string {
		r := of(fmt.Sprint(time.Now().UnixNano()))
		r.Scopes = scopes
		return strings.Join(ask(t, s, "g", r).Epochs, ",")
	}
	before := claims()
	if before != marks() {
		t.Errorf("%q and %q", before, marks())
	}
	if err := s.Sessions.Revoke(t.Context(), scopes[1], time.Hour); err != nil {
		t.Fatal(err)
	}
	if after := claims(); after == before || after != marks() {
		t.Errorf("after a revocation: %q, %q", after, marks())
	}
}

func TestAClaimWithoutAnAnswerIsAnError(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server, "p")
	server.Kill()
	if got, err := s.Claims.Claim(t.Context(), "g", of("1")); err == nil || got.Refused != claim.Granted || got.Epochs != nil {
		t.Errorf("%+v %v", got, err)
	}
	_, renewErr := s.Claims.Renew(context.Background(), "g", []claim.Holding{{ID: "1"}})
	if err := s.Claims.Return(t.Context(), "g", []claim.Holding{{ID: "1"}}); err == nil || renewErr == nil {
		t.Error("no error")
	}
	for _, values := range [][]string{nil, {"", "0", ""}, {"x", "0", "", ""}, {"rate", "x", "", ""}} {
		if _, err := parseClaim(values); !errors.Is(err, errClaim) {
			t.Errorf("%q: %v", values, err)
		}
	}
}

// A claim relies on a session only as it was read: whatever happened to it since refuses the call before anything is taken.
func TestAClaimConfirmsItsSessionBeforeItTakesAnything(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, other := open(t, server, "p"), open(t, server, "p")
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = client.Close() })
	record := session.Record{
		App: "portal", Tenant: "Cust1", Scopes: session.Scopes{{1}, {2}, {3}, {4}}, Sealed: []byte("x"), Used: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	written := record
	written.Version = 1
	for name, c := range map[string]struct {
		version uint64
		happens func(place session.Place) error
		want    claim.Bound
	}{
		"nothing happened": {1, func(session.Place) error { return nil }, claim.Granted},
		"written anew": {1, func(place session.Place) error {
			_, err := other.Sessions.Put(t.Context(), place, written)
			return err
		}, claim.BySession},
		"written anew, and read since": {2, func(place session.Place) error {
			_, err := other.Sessions.Put(t.Context(), place, written)
			return err
		}, claim.Granted},
		"signed out":         {1, func(place session.Place) error { return other.Sessions.Delete(t.Context(), place) }, claim.BySession},
		"the app revoked":    {1, func(session.Place) error { return other.Sessions.Revoke(t.Context(), session.Place{1}, time.Hour) }, claim.BySession},
		"the tenant revoked": {1, func(session.Place) error { return other.Sessions.Revoke(t.Context(), session.Place{2}, time.Hour) }, claim.BySession},
		"the person revoked": {1, func(session.Place) error { return other.Sessions.Revoke(t.Context(), session.Place{4}, time.Hour) }, claim.BySession},
		"an epoch lost": {1, func(session.Place) error {
			return client.Del(t.Context(), s.Sessions.epochPrefix()+string(scope(3))).Err()
		}, claim.BySession},
		"from before there were epochs": {1, func(place session.Place) error {
			return client.HDel(t.Context(), s.Sessions.record(place), "g").Err()
		}, claim.Granted},
		"from before there were epochs, revoked": {1, func(place session.Place) error {
			err := client.HDel(t.Context(), s.Sessions.record(place), "g").Err()
			return errors.Join(err, other.Sessions.Revoke(t.Context(), session.Place{4}, time.Hour))
		}, claim.BySession},
		"over": {1, func(place session.Place) error {
			return client.PExpire(t.Context(), s.Sessions.record(place), -1).Err()
		}, claim.BySession},
	} {
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		place := session.Place{9}
		if err := s.Sessions.Add(t.Context(), place, record, 0); err != nil {
			t.Fatal(err)
		}
		if err := c.happens(place); err != nil {
			t.Fatal(err)
		}
		r := of("1")
		r.Session, r.Scopes, r.Lease, r.Unended = claim.Session{Place: place, Version: c.version}, []session.Place{{1}}, "l", "u"
		r.Rate, r.Key, r.CoolDown = claim.Rate{Name: "r", PerSecond: 0.001, Burst: 3}, claim.Key{Name: "k", Note: "n", Keep: time.Minute}, claim.CoolDown{Name: "c", Until: "then", Period: time.Minute}
		before := client.Keys(t.Context(), "*").Val()
		for range 2 { // an answer that was lost is asked for again
			got := ask(t, s, "g", r)
			if got.Refused != c.want {
				t.Errorf("%s: %+v", name, got)
			}
			if after := client.Keys(t.Context(), "*").Val(); c.want != claim.Granted && (len(after) != len(before) || len(got.Epochs) != 0) {
				t.Errorf("%s: it took or charged something: %q, %q before", name, after, before)
			}
		}
		// The record is alive as long as it was, and read as before.
		if _, found, err := s.Sessions.Get(t.Context(), place); err != nil || found != (c.want == claim.Granted || name == "written anew") {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
	}
}

func scope(n byte) []byte { return append([]byte{n}, make([]byte, 31)...) }

// claimsKeepTheirPromise claims everything that there is, in every way in which it is refused, and gives it back.
func claimsKeepTheirPromise(t *testing.T, s *Store) {
	t.Helper()
	whole := func(id string) *claim.Request {
		r := of(id)
		r.Scopes, r.Rate, r.Lease, r.Unended = []session.Place{{1}}, claim.Rate{Name: "r", PerSecond: 0.001, Burst: 3}, "l", "u"
		r.Places[0].Most = 1
		r.Session = claim.Session{Place: session.Place{7}, Version: 1}
		r.Key, r.CoolDown = claim.Key{Name: "k" + id, Note: "n", Keep: time.Minute}, claim.CoolDown{Name: "c", Until: "then", Period: time.Minute}
		return r
	}
	first := whole("1")
	if got := ask(t, s, "g", first); got.Refused != claim.BySession {
		t.Errorf("without its session: %+v", got)
	}
	if err := s.Sessions.Add(t.Context(), first.Session.Place, session.Record{App: "a", Tenant: "t", Sealed: []byte("x"), Used: time.Now(), Expires: time.Now().Add(time.Hour)}, 0); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "g", first); got.Refused != claim.Granted || len(got.Epochs) != 2 {
		t.Errorf("%+v", got)
	}
	next := whole("2")
	next.Waits = true
	if got := ask(t, s, "h", next); got.Refused != claim.ByPlace {
		t.Errorf("a second: %+v", got)
	}
	if lost, err := s.Claims.Renew(t.Context(), "g", []claim.Holding{holding(first)}); err != nil || len(lost) != 0 {
		t.Error(lost, err)
	}
	held := holding(first)
	held.Values, held.Charge = []claim.Value{{Name: "c", Token: first.Token, Value: "then"}}, claim.Rate{Name: "other", PerSecond: 1}
	if err := s.Claims.Return(t.Context(), "g", []claim.Holding{held}); err != nil {
		t.Error(err)
	}
	if got := ask(t, s, "h", next); got.Refused != claim.Granted {
		t.Errorf("once it was given back: %+v", got)
	}
	if got := ask(t, s, "h", whole("3")); got.Refused != claim.ByRate {
		t.Errorf("over its rate: %+v", got)
	}
}

// Neither one gateway nor two make the same epoch twice.
func TestNoTwoEpochsAreAlike(t *testing.T) {
	t.Parallel()
	var one, two epochs
	var mu sync.Mutex
	seen := make(map[string]bool)
	var group sync.WaitGroup
	for i := range 1000 {
		group.Go(func() {
			digits := []*epochs{&one, &two}[i%2].unlike()
			mu.Lock()
			defer mu.Unlock()
			if seen[digits] || strings.Trim(digits, "0123456789") != "" {
				t.Errorf("%q", digits)
			}
			seen[digits] = true
		})
	}
	group.Wait()
}
