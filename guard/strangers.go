package guard

import (
	"net/netip"
	"sync"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/bounded"
	"golang.org/x/time/rate"
)

// Strangers bounds what callers that have proved nothing can have asked of others, in all and by
// address, so that one of them takes nothing from the rest. Use NewStrangers.
type Strangers struct {
	limits StrangerLimits
	total  *rate.Limiter

	mu        sync.Mutex
	addresses *bounded.Map[netip.Prefix, *rate.Limiter]
}

// StrangerLimits are requests per second, with as many at once as the bursts say.
type StrangerLimits struct {
	PerAddress, Total        rate.Limit
	AddressBurst, TotalBurst int
}

// maxAddresses is how many addresses are told apart at least. With more at once the oldest begin anew.
const maxAddresses = 4096

// NewStrangers returns a bound that nobody has used yet.
func NewStrangers(limits StrangerLimits) *Strangers {
	return &Strangers{limits: limits, total: rate.NewLimiter(limits.Total, limits.TotalBurst), addresses: bounded.NewMap[netip.Prefix, *rate.Limiter](maxAddresses)}
}

// Allow reports whether a stranger at that address may have one more request made, and charges it. If not, wait is
// when it makes sense to come again. An address that cannot be read shares its bound with all such.
func (s *Strangers) Allow(address string) (wait time.Duration) {
	now := time.Now()
	if wait := charge(s.address(address), now); wait > 0 {
		return wait // and what is there for all is left to others
	}
	return charge(s.total, now)
}

func (s *Strangers) address(address string) *rate.Limiter {
	key := network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter, ok := s.addresses.Get(key)
	if !ok {
		limiter = rate.NewLimiter(s.limits.PerAddress, s.limits.AddressBurst)
		s.addresses.Set(key, limiter)
	}
	return limiter
}

// charge takes a token, or returns when there is one.
func charge(limiter *rate.Limiter, now time.Time) time.Duration {
	reservation := limiter.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return max(wait, time.Second)
	}
	return 0
}

// network returns what one party has of addresses: an IPv4 address, or an IPv6 network of 64 bits.
func network(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}
