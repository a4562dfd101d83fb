package guard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneAddressTakesNothingFromTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewStrangers(StrangerLimits{PerAddress: 5, AddressBurst: 10, Total: 50, TotalBurst: 50})
		began, flooded, served, asked := time.Now(), 0, 0, 0
		for time.Since(began) < 20*time.Second { // 495 a second from one address, three a second from twelve
			if s.Allow("192.0.2.1") == 0 {
				flooded++
			}
			if n := int(time.Since(began) / (2 * time.Millisecond)); n%167 == 0 {
				asked++
				if s.Allow(fmt.Sprintf("198.51.100.%d", asked%12)) == 0 {
					served++
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
		if served != asked || asked < 50 {
			t.Errorf("%d of %d others were served", served, asked)
		}
		if flooded < 100 || flooded > 115 {
			t.Errorf("the flood got %d in 20 s, want 5 a second and 10 at once", flooded)
		}
	})
}

func TestAllStrangersTogetherAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewStrangers(StrangerLimits{PerAddress: 5, AddressBurst: 10, Total: 50, TotalBurst: 50})
		allowed := 0
		for i := range 1000 {
			if s.Allow(fmt.Sprintf("10.0.%d.%d", i/250, i%250)) == 0 {
				allowed++
			}
		}
		if allowed != 50 {
			t.Errorf("%d of a thousand addresses at once", allowed)
		}
		if wait := s.Allow("10.9.9.9"); wait < time.Second {
			t.Errorf("to come again in %s", wait)
		}
	})
}

func TestAPartyIsAnAddressOrAnIPv6Network(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"2001:db8:1:2::1": "2001:db8:1:2:ffff::9", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1", "": "nonsense",
	} {
		if network(a) != network(b) {
			t.Errorf("%s and %s are told apart", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8:1:2::1": "2001:db8:1:3::1", "": "192.0.2.1"} {
		if network(a) == network(b) {
			t.Errorf("%s and %s are one", a, b)
		}
	}
}

func TestWhatStrangersLeaveBehindIsBounded(t *testing.T) {
	t.Parallel()
	s := NewStrangers(StrangerLimits{PerAddress: 1, AddressBurst: 1, Total: 1, TotalBurst: 1})
	for i := range 5 * maxAddresses {
		s.Allow(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if n := s.addresses.Len(); n > 2*maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}
