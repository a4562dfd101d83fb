package session

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

func TestEveryFieldOfASessionComesBackAndOfACutOneNothing(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(time.Now().UnixMicro())
	for _, s := range []Session{
		{UPN: "tove@uno.example"},
		{
			UPN: "tove@uno.example", FullName: "Tove", AssociateID: -7, Administrator: true, Access: auth.NewSecret("a"), AccessIssued: now, AccessExpires: now.Add(time.Hour),
			Refresh: auth.NewSecret("r"), API: "https://sod.superoffice.com/Cust12345/api", Redirect: "https://gateway.example/erpsync/callback", Created: now.Add(-time.Hour),
		},
	} {
		raw := s.form()
		var got Session
		if !got.readForm(raw) {
			t.Fatalf("%x is not read", raw)
		}
		if diff := cmp.Diff(s, got, cmp.Comparer(func(a, b auth.Secret) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		if !s.Created.IsZero() && got.Created.IsZero() || s.AccessIssued.IsZero() != got.AccessIssued.IsZero() {
			t.Error("a time that was not set has become one, or the other way round")
		}
		for i := range raw {
			if new(Session).readForm(raw[:i]) {
				t.Errorf("read although cut after %d bytes", i)
			}
		}
		if new(Session).readForm(append(raw, 0)) {
			t.Error("read although something stands behind it")
		}
		raw[0] = 3
		if new(Session).readForm(raw) {
			t.Error("another form is read")
		}
	}
}

// An upgrade signs nobody out: the first form had no redirect address.
func TestASessionOfTheFirstFormIsReadStill(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(time.Now().UnixMicro())
	old := []byte{1}
	for _, text := range []string{"tove@uno.example", "Tove", "a", "r", "https://sod.superoffice.com/Cust12345/api"} {
		old = append(binary.AppendUvarint(old, uint64(len(text))), text...)
	}
	for _, number := range []int64{7, 1, now.UnixMicro(), now.Add(time.Hour).UnixMicro(), now.UnixMicro()} {
		old = binary.AppendVarint(old, number)
	}
	var got Session
	want := Session{UPN: "tove@uno.example", FullName: "Tove", AssociateID: 7, Administrator: true, Access: auth.NewSecret("a"), AccessIssued: now, AccessExpires: now.Add(time.Hour), Refresh: auth.NewSecret("r"), API: "https://sod.superoffice.com/Cust12345/api", Created: now}
	if !got.readForm(old) {
		t.Fatal("it is not read")
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b auth.Secret) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestWhatFollowsFromATokenDoesNotLeadFromOneToTheOther(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	token, other := m.Keys.Issue(), m.Keys.Issue()
	seen := map[[32]byte]string{}
	for name, value := range map[string][32]byte{
		"place": token.Place(), "xsrf": token.derive("erpsync xsrf"), "key": token.derive("erpsync session", "portal", "Cust1"), "another app's": token.derive("erpsync session", "porta", "lCust1"),
		"one part": token.derive("erpsync session", "portalCust1"), "another tenant's": token.derive("erpsync session", "portal", "Cust2"), "another session's": other.derive("erpsync session", "portal", "Cust1"),
	} {
		if seen[value] != "" {
			t.Errorf("%s and %s are the same", name, seen[value])
		}
		seen[value] = name
	}
}
