package session_test

import (
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session/storetest"
)

func TestMemoryKeepsWhatStoresPromise(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) session.Store { return session.NewMemory(0, nil) })
}
