package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/internal/redistest"
)

// record is one of a person's, with scopes that only that person has, under the app and the tenant of all.
func record(person byte) (session.Place, session.Record) {
	return session.Place{9, person}, session.Record{
		App: "portal", Tenant: "Cust1", Scopes: session.Scopes{{1}, {2}, {3, person}, {4, person}}, Sealed: []byte("x"), Used: time.Now(), Expires: time.Now().Add(9 * time.Hour), Version: 1,
	}
}

func add(t *testing.T, s *Store, person byte) session.Place {
	t.Helper()
	place, r := record(person)
	if err := s.Sessions.Add(t.Context(), place, r, 0); err != nil {
		t.Fatal(err)
	}
	return place
}

func alivePlace(t *testing.T, s *Store, place session.Place) bool {
	t.Helper()
	_, found, err := s.Sessions.Get(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func clientOf(t *testing.T, server *redistest.Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestAnEvictedEpochRevivesNoRevokedSession(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := clientOf(t, server)
	for i := range len(session.Scopes{}) { // the app, the tenant, the person under both names
		s := open(t, server, fmt.Sprint("p", i))
		revoked := add(t, s, 7)
		_, r := record(7)
		if err := s.Sessions.Revoke(t.Context(), r.Scopes[i], time.Hour); err != nil {
			t.Fatal(err)
		}
		epoch := s.Sessions.epochPrefix() + string(r.Scopes[i][:])
		if n := client.Del(t.Context(), epoch).Val(); n != 1 {
			t.Fatalf("scope %d: %d epochs", i, n)
		}
		if alivePlace(t, s, revoked) {
			t.Errorf("scope %d: a revoked session is back once its epoch is evicted", i)
		}
		after := add(t, s, 8)
		again := session.Place{9, 9}
		if err := s.Sessions.Add(t.Context(), again, r, 0); err != nil { // the person signs in again, and there is an epoch again
			t.Fatal(err)
		}
		if alivePlace(t, s, revoked) {
			t.Errorf("scope %d: a revoked session is back once the person signs in again", i)
		}
		if result, err := s.Sessions.Put(t.Context(), revoked, r); result != session.Gone || err != nil {
			t.Errorf("scope %d: a revoked session was written: %v %v", i, result, err)
		}
		if n, err := s.Sessions.Count(t.Context(), session.Place{2}); n != 2 || err != nil || !alivePlace(t, s, after) || !alivePlace(t, s, again) {
			t.Errorf("scope %d: %d sessions of the tenant, %v", i, n, err)
		}
	}
}

// Under volatile-ttl what is to be forgotten first is evicted first: here the records of revocations.
func TestARedisThatEvictsRevivesNoRevokedSession(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server, "p"), clientOf(t, server)
	var places []session.Place
	var epochs []string
	for person := range byte(15) {
		places = append(places, add(t, s, person))
		if err := s.Sessions.Revoke(t.Context(), session.Place{3, person}, time.Minute); err != nil {
			t.Fatal(err)
		}
		epochs = append(epochs, s.Sessions.epochPrefix()+string(slices.Concat([]byte{3, person}, make([]byte, 30))))
	}
	if n := client.Exists(t.Context(), epochs...).Val(); n != 15 {
		t.Fatalf("%d epochs of 15 persons", n)
	}
	client.ConfigSet(t.Context(), "maxmemory-policy", "volatile-ttl")
	client.ConfigSet(t.Context(), "maxmemory-samples", "64")
	client.ConfigSet(t.Context(), "maxmemory", "4mb")
	for i := 0; client.Exists(t.Context(), epochs...).Val() > 0; i++ {
		if err := client.Set(t.Context(), fmt.Sprint("other", i), strings.Repeat("x", 10_000), 2*time.Hour).Err(); err != nil || i > 10_000 {
			t.Fatalf("after %d: %v", i, err)
		}
	}
	back, kept := 0, 0
	for _, place := range places {
		kept += int(client.Exists(t.Context(), s.Sessions.record(place)).Val())
		if alivePlace(t, s, place) {
			back++
		}
	}
	t.Logf("of 15 revoked sessions %d lie in the store and %d came back", kept, back)
	if back > 0 || kept == 0 {
		t.Errorf("%d of %d revoked sessions came back", back, kept)
	}
}

// A record of the gateways that knew no epochs is ended by the time of a revocation, as they did it.
func TestASessionFromBeforeThereWereEpochsIsRevokedByTime(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := clientOf(t, server)
	s := open(t, server, "p")
	place := add(t, s, 7)
	_, r := record(7)
	if n := client.HDel(t.Context(), s.Sessions.record(place), "g").Val(); n != 1 {
		t.Fatal("the record carries no epochs")
	}
	client.Del(t.Context(), s.Sessions.epochPrefix()+string(r.Scopes[2][:])) // as it was before anything was revoked
	if !alivePlace(t, s, place) {
		t.Error("it has ended with the upgrade")
	}
	add(t, s, 8) // a sign-in makes epochs, and revokes nothing
	if !alivePlace(t, s, place) {
		t.Error("it has ended with another's sign-in")
	}
	if result, err := s.Sessions.Put(t.Context(), place, r); result != session.Written || err != nil || !alivePlace(t, s, place) {
		t.Errorf("it cannot be renewed: %v %v", result, err)
	}
	if err := s.Sessions.Revoke(t.Context(), r.Scopes[2], time.Hour); err != nil {
		t.Fatal(err)
	}
	if alivePlace(t, s, place) {
		t.Error("it was revoked and is alive")
	}
}

// A record of the gateways that knew a person under one name has three scopes: the last stands for both names.
func TestASessionFromBeforeAPersonHadTwoNamesGoesOnAndEndsWithIts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := clientOf(t, server)
	s := open(t, server, "p")
	place := add(t, s, 7)
	_, r := record(7)
	name := s.Sessions.record(place)
	old := client.HMGet(t.Context(), name, "x", "g").Val()
	epochs := strings.Split(old[1].(string), ",")
	client.HSet(t.Context(), name, "x", old[0].(string)[:96], "g", strings.Join(epochs[:3], ","))
	got, found, err := s.Sessions.Get(t.Context(), place)
	if err != nil || !found || got.Scopes != (session.Scopes{{1}, {2}, {3, 7}, {3, 7}}) {
		t.Fatalf("%v %v %v", got.Scopes, found, err)
	}
	if n, err := s.Sessions.Count(t.Context(), r.Scopes[2]); n != 1 || err != nil {
		t.Errorf("%d of the person, %v", n, err)
	}
	if result, err := s.Sessions.Put(t.Context(), place, r); result != session.Written || err != nil || !alivePlace(t, s, place) {
		t.Errorf("it cannot be renewed: %v %v", result, err)
	}
	if err := s.Sessions.Revoke(t.Context(), r.Scopes[2], time.Hour); err != nil {
		t.Fatal(err)
	}
	if alivePlace(t, s, place) {
		t.Error("it was revoked and is alive")
	}
}

// Tickets and kept answers are found under the epochs: with one evicted they are made anew, and never found again.
func TestAnEvictedEpochIsAnotherForTicketsAndKeptAnswers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server, "p"), clientOf(t, server)
	scope := session.Place{1}
	marks := func() string {
		t.Helper()
		text, err := s.Sessions.Marks(t.Context(), slices.Values([]session.Place{scope, {2}}))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := marks()
	add(t, s, 7)
	if now := marks(); now != before {
		t.Errorf("a sign-in is taken for a revocation: %s, then %s", before, now)
	}
	if err := s.Sessions.Revoke(t.Context(), scope, time.Hour); err != nil {
		t.Fatal(err)
	}
	revoked := marks()
	client.Del(t.Context(), s.Sessions.epochPrefix()+string(scope[:]))
	if now := marks(); revoked == before || now == before || now == revoked {
		t.Errorf("%s, revoked %s, evicted %s", before, revoked, now)
	}
	for _, key := range []string{string(scope[:]), string(append([]byte{2}, make([]byte, 31)...))} {
		if ttl := client.TTL(t.Context(), s.Sessions.epochPrefix()+key).Val(); ttl < epochLife/2 {
			t.Errorf("an epoch is kept for %s", ttl)
		}
	}
}

func TestAFullStoreTellsTheEpochsThatItHas(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server, "p"), clientOf(t, server)
	scopes := slices.Values([]session.Place{{1}, {2}})
	before, err := s.Sessions.Marks(t.Context(), scopes)
	if err != nil {
		t.Fatal(err)
	}
	client.ConfigSet(t.Context(), "maxmemory", "1")
	if now, err := s.Sessions.Marks(t.Context(), scopes); now != before || err != nil {
		t.Errorf("%s, then %s, %v", before, now, err)
	}
	if _, err := s.Sessions.Marks(t.Context(), slices.Values([]session.Place{{5}})); err == nil {
		t.Error("an epoch that cannot be kept was told")
	}
}
