package superid

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// maxKeys bounds the keys that are tried for one token.
const maxKeys = 16

// algorithm is what SuperOffice signs with.
const algorithm = "RS256"

// NewKeySet returns the environment's signing keys. They are fetched when they are first needed. A nil now is the system's clock.
func NewKeySet(env superoffice.Environment, client *http.Client, observer idp.Observer, now func() time.Time) *idp.KeySet {
	return idp.NewKeySet(env.Base(), env.Base()+"/login/.well-known/jwks", client, observer, now)
}

// withKeys calls parse with every key of the set: SuperOffice signs with x5t and no kid, and writes the kid of the same key sometimes in
// base64url and sometimes in hex, so that its name finds nothing for certain, and all the keys are SuperOffice's own.
// If none of them has signed the token, they are fetched again, if that is not too early, and the token is tried once more.
func withKeys(ctx context.Context, keys *idp.KeySet, parse func(jwt.Keyfunc) error) error {
	for renewed := false; ; renewed = true {
		known, err := keys.Find(ctx, "", algorithm)
		if err != nil {
			return passing("signing keys", err)
		}
		known = known[:min(len(known), maxKeys)]
		err = parse(func(*jwt.Token) (any, error) { return jwt.VerificationKeySet{Keys: known}, nil })
		if renewed || !errors.Is(err, jwt.ErrTokenSignatureInvalid) || !keys.Renew(ctx, algorithm, known) {
			return err
		}
	}
}
