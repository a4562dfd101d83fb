package auth

import (
	"context"
	"encoding/json"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// Sealer seals what a KV keeps.
type Sealer interface {
	Seal(purpose string, parts []string, plaintext []byte) string
	Open(purpose string, parts []string, sealed string) ([]byte, error)
}

// Sharing lets several gateways share the credentials that one of them mints.
type Sharing struct {
	Locker lease.Locker
	KV     KV
	Sealer Sealer
}

const ticketPurpose = "erpsync credential"

// sharedCredential is a credential's form under the seal; its secret is in clear there.
type sharedCredential struct {
	Kind    CredentialKind `json:"k"`
	Owner   CallAs         `json:"o"`
	Value   string         `json:"v"`
	Minted  time.Time      `json:"m"`
	Expires time.Time      `json:"e"`
	API     string         `json:"a,omitempty"`
}

// Mint makes a mint of one gateway's a mint of all: the lease's holder mints,
// the others take what it kept in the KV. Trouble with either lets each gateway mint for itself.
func (s *Sharing) Mint(key string, mint Mint) Mint {
	if s == nil {
		return mint
	}
	return func(ctx context.Context, replaces Credential) (credential Credential, refusal *Refusal) {
		refusal = Refuse(CredentialUnavailable, context.DeadlineExceeded).After(time.Second)
		done := func(ctx context.Context) bool {
			found, ok := s.load(ctx, key)
			if !ok || found.Same(replaces) || !time.Now().Before(found.Expires) {
				return false
			}
			credential, refusal = found, nil
			return true
		}
		lease.Do(ctx, s.Locker, key, done, func(ctx context.Context) {
			if credential, refusal = mint(ctx, replaces); refusal == nil {
				credential.Minted = time.Now()
				s.store(ctx, key, credential)
			}
		})
		return credential, refusal
	}
}

func (s *Sharing) load(ctx context.Context, key string) (Credential, bool) {
	sealed, there, err := s.KV.Get(ctx, key)
	if err != nil || !there {
		return Credential{}, false
	}
	plain, err := s.Sealer.Open(ticketPurpose, []string{key}, sealed)
	if err != nil {
		return Credential{}, false
	}
	var in sharedCredential
	if err := json.Unmarshal(plain, &in); err != nil {
		return Credential{}, false
	}
	return Credential{Kind: in.Kind, Owner: in.Owner, Value: NewSecret(in.Value), Minted: in.Minted, Expires: in.Expires, API: in.API}, true
}

// store keeps a credential for the others. One that cannot be kept is minted by each for itself.
func (s *Sharing) store(ctx context.Context, key string, c Credential) {
	ttl := time.Until(c.Expires)
	if ttl <= 0 {
		return
	}
	plain, err := json.Marshal(sharedCredential{c.Kind, c.Owner, c.Value.Reveal(), c.Minted, c.Expires, c.API})
	if err != nil {
		return
	}
	_ = s.KV.Set(ctx, key, s.Sealer.Seal(ticketPurpose, []string{key}, plain), ttl)
}
