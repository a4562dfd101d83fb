package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	jwksRefresh = time.Hour
	jwksTimeout = 10 * time.Second

	// An unknown kid has the set fetched again at most this often, and no
	// caller waits for the next turn.
	jwksUnknownKey     = 10 * time.Second
	jwksUnknownKeyWait = time.Millisecond
)

// JWKSFromURL gives the keys published at url. The first fetch happens when the
// first token asks for it, so that a gateway starts while the provider is down; the last set
// stays in force while the provider is down later. Refreshing ends with life.
func JWKSFromURL(life context.Context, url string, client *http.Client, failed func(error)) func(context.Context) (jwt.Keyfunc, error) {
	var once sync.Once
	var keys keyfunc.Keyfunc
	var err error
	return func(context.Context) (jwt.Keyfunc, error) {
		once.Do(func() {
			proceed := true
			keys, err = keyfunc.NewDefaultOverrideCtx(life, []string{url}, keyfunc.Override{
				Client:                    client,
				HTTPTimeout:               jwksTimeout,
				NoErrorReturnFirstHTTPReq: &proceed,
				RateLimitWaitMax:          jwksUnknownKeyWait,
				RefreshInterval:           jwksRefresh,
				RefreshUnknownKID:         rate.NewLimiter(rate.Every(jwksUnknownKey), 1),
				RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
					return func(_ context.Context, err error) { failed(err) }
				},
			})
		})
		if err != nil {
			return nil, err
		}
		return keys.Keyfunc, nil
	}
}

// jwksFileAge is how long a key set read from a file is used before the file is looked at again.
const jwksFileAge = time.Second

// JWKSFromFile gives the keys in a file, which is followed: a changed file takes
// effect within a second, a broken one leaves the last good set in force.
func JWKSFromFile(path string, failed func(error)) (func(context.Context) (jwt.Keyfunc, error), error) {
	read := func() (keyfunc.Keyfunc, time.Time, error) {
		stat, err := os.Stat(path)
		if err != nil {
			return nil, time.Time{}, err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, time.Time{}, err
		}
		keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(raw))
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("jwks file %s: not a JWK set", path)
		}
		return keys, stat.ModTime(), nil
	}
	keys, modified, err := read()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	looked := time.Now()
	return func(context.Context) (jwt.Keyfunc, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(looked) > jwksFileAge {
			looked = time.Now()
			if stat, err := os.Stat(path); err != nil || !stat.ModTime().Equal(modified) {
				fresh, at, err := read()
				if err != nil {
					failed(err)
				} else {
					keys, modified = fresh, at
				}
			}
		}
		return keys.Keyfunc, nil
	}, nil
}
