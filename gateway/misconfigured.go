package gateway

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
)

// misconfiguredAgain is how long the operator is not told again what has not changed.
const misconfiguredAgain = 10 * time.Minute

// misconfiguration remembers what the operator was told of an app whose own requests SuperID refuses.
type misconfiguration struct {
	mu    sync.Mutex
	code  string // SuperID's
	again time.Time
	met   int // since the operator was told last
}

// SuperIDAnswered takes how a request to SuperID's token endpoint ended. Where SuperID refuses the app's own request, which only its
// operator can change, it logs an error: at once, and then every ten minutes with the number of requests
// that were refused meanwhile, however many people meet it. A request that succeeds ends that.
func (a *App) SuperIDAnswered(err error) {
	var refused *superid.Error
	switch {
	case err == nil:
		a.misconfigured.end()
	case errors.As(err, &refused) && refused.Kind == superid.Misconfigured:
		if times := a.misconfigured.meet(refused.Code); times > 0 {
			a.gateway.platform.Logger.Error("SuperID refuses the app's own requests; nobody can sign in, and sessions stay without being renewed",
				zap.String("app", a.Name), zap.String("remedy", refused.Remedy()), zap.Int("times", times), zap.Error(err))
		}
	}
}

// meet returns how often this was met since the operator was told; 0: the operator knows.
func (m *misconfiguration) meet(code string) (times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.met++
	if now := time.Now(); code != m.code || !now.Before(m.again) {
		times, m.met = m.met, 0
		m.code, m.again = code, now.Add(misconfiguredAgain)
	}
	return times
}

func (m *misconfiguration) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.code, m.again, m.met = "", time.Time{}, 0
}
