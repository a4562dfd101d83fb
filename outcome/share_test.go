package outcome

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// shared are ledgers of gateways that exchange over one document, as over a store that writes only over what was read.
type shared struct {
	t   *testing.T
	doc []byte
	all []*Ledger
}

var erpIn = Member{"erp", "Cust1"}

func share(t *testing.T, n int) *shared {
	t.Helper()
	s := &shared{t: t}
	for range n {
		l := new(Ledger)
		l.Share()
		s.all = append(s.all, l)
	}
	return s
}

// exchange has one gateway read, and write if it has something to tell. It reports whether it wrote.
func (s *shared) exchange(l *Ledger) bool {
	s.t.Helper()
	if s.doc != nil {
		if err := l.Absorb(erpIn, s.doc); err != nil {
			s.t.Fatal(err)
		}
	}
	if len(l.Changed(10)) == 0 {
		return false
	}
	doc, change, ok := l.Export(erpIn)
	if !ok {
		s.t.Fatal("it has changed and is not known")
	}
	s.doc = doc
	l.Exported(erpIn, change)
	return true
}

// settle exchanges until nobody has anything to tell, and returns how often that took.
func (s *shared) settle() (rounds int) {
	s.t.Helper()
	for wrote := true; wrote; rounds++ {
		if rounds > 5 {
			s.t.Fatal("they never agree")
		}
		wrote = false
		for _, l := range s.all {
			wrote = s.exchange(l) || wrote
		}
	}
	first, _, _ := s.all[0].Export(erpIn)
	for i, l := range s.all[1:] {
		if other, _, _ := l.Export(erpIn); !bytes.Equal(first, other) {
			s.t.Errorf("gateway %d knows %s, the first %s", i+1, other, first)
		}
	}
	return rounds
}

func ended(l *Ledger, id string, class Class, at time.Time, keys ...int32) {
	r := resync(superoffice.ForceResync, 1, keys...)
	r.RequestID, r.Started, r.Outcome = id, at, Outcome{Class: class, ErrorCode: "E1", UserExplanation: "personal", TechExplanation: "personal"}
	l.Ended(&r)
}

func TestGatewaysComeToKnowTheSameOfATenant(t *testing.T) {
	t.Parallel()
	s := share(t, 3)
	now := time.Now()
	ended(s.all[0], "a", OK, now)
	ended(s.all[1], "b", Error, now.Add(time.Second))
	s.all[2].SetConsent("erp", "Cust1", ConsentRequired, "no")
	s.settle()
	got := s.all[2].TenantHealth("erp", "Cust1")
	if got.Last.RequestID != "b" || got.Failed.RequestID != "b" || got.Failed.Outcome.ErrorCode != "E1" || !got.Succeeded.Equal(moment(now)) || got.Consent != ConsentRequired || got.Message != "no" {
		t.Errorf("%+v", got)
	}
	if strings.Contains(string(s.doc), "personal") {
		t.Errorf("%s", s.doc)
	}
	// What is told is not told again, and who comes anew knows it.
	if rounds := s.settle(); rounds != 1 {
		t.Errorf("%d rounds without a change", rounds)
	}
	anew := new(Ledger)
	anew.Share()
	if err := anew.Absorb(erpIn, s.doc); err != nil || len(anew.Changed(1)) != 0 {
		t.Errorf("after a restart: %v", err)
	}
	if doc, _, _ := anew.Export(erpIn); !bytes.Equal(doc, s.doc) {
		t.Errorf("after a restart: %s", doc)
	}
	// An approval that one sees mends it for all.
	time.Sleep(2 * time.Millisecond) // moments are told in milliseconds
	s.all[0].SetConsent("erp", "Cust1", Approved, "")
	s.settle()
	if got := s.all[1].TenantHealth("erp", "Cust1"); got.Consent != Approved || got.Message != "" {
		t.Errorf("%+v", got)
	}
}

func TestARefusalThatIsMendedAtOneGatewayIsMendedAtAll(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(*Ledger){
		"taken again": func(l *Ledger) { l.SetConsent("erp", "Cust1", Approved, "") },
		"approved": func(l *Ledger) {
			if !l.Forgive("erp", "Cust1", time.Now().Add(time.Minute)) {
				t.Error("there was nothing to forgive")
			}
		},
	} {
		s := share(t, 2)
		s.all[0].SetConsent("erp", "Cust1", ConsentRequired, "no")
		r := resync(superoffice.ForceResync, 1, 1)
		r.RequestID, r.Sends, r.Reason, r.Started = "refused", 0, string(ConsentRequired), time.Now().Add(-time.Second)
		s.all[0].Ended(&r)
		s.settle()
		if got := s.all[1].TenantHealth("erp", "Cust1"); got.Failed.RequestID != "refused" || got.Consent != ConsentRequired {
			t.Fatalf("%s: %+v", name, got)
		}
		time.Sleep(2 * time.Millisecond) // moments are told in milliseconds
		mend(s.all[1])
		s.settle()
		for i, l := range s.all {
			if got := l.TenantHealth("erp", "Cust1"); got.Consent == ConsentRequired || got.Failed.RequestID != "" {
				t.Errorf("%s: gateway %d: %+v", name, i, got)
			}
		}
	}
}

func TestACallWithoutAKnownEndIsCoveredAtWhicheverGatewaySucceeds(t *testing.T) {
	t.Parallel()
	then := time.Now()
	t.Run("told before", func(t *testing.T) {
		t.Parallel()
		s := share(t, 2)
		ended(s.all[0], "lost", Unknown, then, 1, 2)
		s.settle()
		if got := s.all[1].TenantHealth("erp", "Cust1"); got.Unknowns != 1 || got.Unknown.RequestID != "lost" {
			t.Fatalf("%+v", got)
		}
		ended(s.all[1], "less", OK, then.Add(time.Second), 1)
		s.settle()
		if got := s.all[0].TenantHealth("erp", "Cust1"); got.Unknowns != 1 {
			t.Errorf("%+v", got)
		}
		ended(s.all[1], "all", OK, then.Add(time.Second), 2, 1)
		s.settle()
		for i, l := range s.all {
			if got := l.TenantHealth("erp", "Cust1"); got.Unknowns != 0 || got.Unknown.RequestID != "" {
				t.Errorf("gateway %d: %+v", i, got)
			}
		}
	})
	t.Run("told after", func(t *testing.T) {
		t.Parallel()
		s := share(t, 2)
		ended(s.all[1], "all", OK, then.Add(time.Second), 1, 2)
		s.exchange(s.all[1])
		ended(s.all[0], "lost", Unknown, then, 1)
		ended(s.all[0], "other", Unknown, then, 3)
		s.settle()
		for i, l := range s.all {
			if got := l.TenantHealth("erp", "Cust1"); got.Unknowns != 1 || got.Unknown.RequestID != "other" {
				t.Errorf("gateway %d: %+v", i, got)
			}
		}
	})
	t.Run("a store that lost everything", func(t *testing.T) {
		t.Parallel()
		s := share(t, 2)
		ended(s.all[0], "lost", Unknown, then, 1)
		s.settle()
		s.doc = nil
		for _, l := range s.all {
			l.Unexport()
		}
		s.settle()
		for i, l := range s.all {
			if got := l.TenantHealth("erp", "Cust1"); got.Unknowns != 1 {
				t.Errorf("gateway %d: %+v", i, got)
			}
		}
	})
	t.Run("more than are kept", func(t *testing.T) {
		t.Parallel()
		s := share(t, 2)
		for i := range 2 * maxUnended {
			ended(s.all[i%2], string(rune('A'+i)), Unknown, then.Add(time.Duration(i)*time.Second), int32(i+1))
		}
		s.settle()
		if got := s.all[0].TenantHealth("erp", "Cust1"); got.Unknowns != maxUnended || got.Unknown.RequestID != string(rune('A'+2*maxUnended-1)) {
			t.Errorf("%+v", got)
		}
	})
}

// Two versions agree although one knows a field that the other does not.
func TestAFieldOfALaterVersionIsNoChange(t *testing.T) {
	t.Parallel()
	s := share(t, 2)
	ended(s.all[0], "a", OK, time.Now())
	s.settle()
	later := bytes.Replace(s.doc, []byte("{"), []byte(`{"later":1,`), 1)
	if err := s.all[1].Absorb(erpIn, later); err != nil || len(s.all[1].Changed(1)) != 0 {
		t.Errorf("%v, changed: %v", err, s.all[1].Changed(1))
	}
	if err := s.all[1].Absorb(erpIn, []byte("x")); err == nil {
		t.Error("what is no export was absorbed")
	}
}

func TestALedgerThatIsNotSharedRemembersNothingForOthers(t *testing.T) {
	t.Parallel()
	alone, many := new(Ledger), share(t, 1).all[0]
	for i := range 2 * maxCovers {
		for _, l := range []*Ledger{alone, many} {
			ended(l, "a", OK, time.Now(), int32(i+1))
		}
	}
	alone.Drop(Member{"erp", "Cust2"})
	many.Drop(Member{"erp", "Cust2"})
	if n := len(alone.entries[member{"erp", "Cust1"}].covers); n != 0 || len(alone.Forgotten()) != 0 {
		t.Errorf("%d are remembered", n)
	}
	if n := len(many.entries[member{"erp", "Cust1"}].covers); n != maxCovers {
		t.Errorf("%d are remembered, want %d", n, maxCovers)
	}
	if gone := many.Forgotten(); len(gone) != 1 || len(many.Forgotten()) != 0 {
		t.Errorf("%v", gone)
	}
}

func FuzzAbsorb(f *testing.F) {
	var l Ledger
	ended(&l, "a", Unknown, time.Now(), 1)
	doc, _, _ := l.Export(erpIn)
	f.Add(doc)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"unended":[{"call":{"operation":"ForceResync"}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		l := new(Ledger)
		l.Share()
		if l.Absorb(erpIn, doc) != nil {
			return
		}
		first, _, _ := l.Export(erpIn)
		if err := l.Absorb(erpIn, first); err != nil {
			t.Fatalf("its own export: %v", err)
		}
		if again, _, _ := l.Export(erpIn); !bytes.Equal(first, again) || l.TenantHealth("erp", "Cust1").Unknowns > maxUnended {
			t.Errorf("%s, then %s", first, again)
		}
	})
}
