package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddy-erpsync/caddy-erpsync/internal/bounded"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	proofAge        = 30 * time.Second
	proofFailureAge = 5 * time.Second
	proofTimeout    = 10 * time.Second
	maxProofAnswer  = 256 << 10

	// provedAge is how long the holder of a credential that was good is no stranger.
	provedAge = 12 * time.Hour

	// maxProofs bounds what is remembered, and maxProofsInFlight what strangers
	// can have asked of SuperOffice at once.
	maxProofs         = 10_000
	maxProofsInFlight = 32
)

// ErrMisdirected means that a WebAPI answered 421: the tenant does not live there any more.
var ErrMisdirected = errors.New("the tenant has moved: HTTP 421")

// Brought is a SuperOffice credential that a caller carries: what goes into
// Authorization, or a session cookie with its XSRF token.
type Brought struct {
	Scheme        Scheme
	Authorization Secret
	Cookie        Secret // ASP.NET_SessionId
	XSRF          Secret
}

// Proof is what SuperOffice said about a brought credential.
type Proof struct {
	Identity superoffice.Identity
	// Bearer is the token of exactly that session, where one was asked for.
	Bearer Secret
}

// Prover asks SuperOffice whose a brought credential is. What it learns is
// remembered briefly under a digest of the credential, never under the credential.
type Prover struct {
	client *http.Client
	now    func() time.Time

	// Charged is told how many requests to the WebAPI at api a proof took that succeeded; nil: nobody is. What strangers
	// have asked is nobody's.
	Charged func(api string, requests int)

	proved *bounded.Set // credentials that SuperOffice has taken, by digest

	flight singleflight.Group
	gate   chan struct{}
	mu     sync.Mutex
	known  map[string]remembered
}

// remembered is an answer as it is kept: the Bearer sealed under the credential
// that brought it, so that memory alone gives no token away.
type remembered struct {
	identity superoffice.Identity
	sealed   []byte
	refusal  *Refusal
	until    time.Time
}

// lookup names where a credential's proof is kept and what seals it. Neither leads to the other.
type lookup struct{ place, seal string }

func lookUp(api string, b Brought, swap bool) lookup {
	name := func(purpose string) string {
		return digest(purpose, api, string(b.Scheme), b.Authorization.Reveal(), b.Cookie.Reveal(), b.XSRF.Reveal(), strconv.FormatBool(swap))
	}
	return lookup{name("erpsync proof place"), name("erpsync proof seal")}
}

func (l lookup) aead() cipher.AEAD {
	block, err := aes.NewCipher([]byte(l.seal))
	if err != nil {
		panic(err) // never for the 32 bytes of a digest
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func (l lookup) open(r remembered) (Proof, *Refusal) {
	proof := Proof{Identity: r.identity}
	if len(r.sealed) > 0 {
		bearer, err := l.aead().Open(nil, nil, r.sealed, nil)
		if err != nil {
			return Proof{}, Refuse(Internal, err)
		}
		proof.Bearer = NewSecret(string(bearer))
	}
	return proof, r.refusal
}

// NewProver makes a prover whose client must not follow redirects. A nil now is the system's clock.
func NewProver(client *http.Client, now func() time.Time) *Prover {
	if now == nil {
		now = time.Now
	}
	return &Prover{client: client, now: now, gate: make(chan struct{}, maxProofsInFlight), known: make(map[string]remembered), proved: bounded.NewSet(maxProofs)}
}

// Proved reports whether SuperOffice has taken the credential within the last hours, so that its holder is no stranger.
func (p *Prover) Proved(brought Brought) bool { return p.proved.Has(lookUp("", brought, false).place) }

// Prove asks the WebAPI at api (…/api, no trailing slash) who holds the credential, with
// appToken as SO-AppToken unless it is zero. swap asks for the session's Bearer too. admit may refuse a stranger before
// anything is asked; nil refuses nobody.
func (p *Prover) Prove(ctx context.Context, api string, brought Brought, appToken Secret, swap bool, admit func() *Refusal) (Proof, *Refusal) {
	at := lookUp(api, brought, swap)
	p.mu.Lock()
	known, ok := p.known[at.place]
	p.mu.Unlock()
	if ok && p.now().Before(known.until) {
		return at.open(known)
	}
	select {
	case result := <-p.flight.DoChan(at.place, func() (any, error) {
		stranger := !p.Proved(brought)
		if stranger && admit != nil {
			if refusal := admit(); refusal != nil {
				return remembered{refusal: refusal}, nil // about the caller, not about the credential
			}
		}
		proof, refusal := p.ask(context.WithoutCancel(ctx), api, brought, appToken, swap)
		p.account(api, brought, swap, refusal)
		return p.remember(at, proof, refusal), nil
	}):
		return at.open(result.Val.(remembered))
	case <-ctx.Done():
		return Proof{}, Refuse(ProofUnavailable, ctx.Err())
	}
}

// account notes whose credential is good, and whom its proof is charged to.
func (p *Prover) account(api string, brought Brought, swap bool, refusal *Refusal) {
	place := lookUp("", brought, false).place
	switch {
	case refusal == nil:
		p.proved.Add(place, p.now().Add(provedAge))
		if requests := 1 + map[bool]int{true: 1}[swap]; p.Charged != nil {
			p.Charged(api, requests)
		}
	case refusal.Reason == CredentialInvalid:
		p.proved.Remove(place)
	}
}

// Forget drops what is known of a credential that SuperOffice has refused since.
func (p *Prover) Forget(api string, brought Brought, swap bool) {
	p.mu.Lock()
	delete(p.known, lookUp(api, brought, swap).place)
	p.mu.Unlock()
}

// digest names a tuple: parts with their lengths, so that no two tuples share a name.
func digest(parts ...string) string {
	tuple := make([]byte, 0, 512)
	for _, part := range parts {
		tuple = binary.BigEndian.AppendUint64(tuple, uint64(len(part)))
		tuple = append(tuple, part...)
	}
	sum := sha256.Sum256(tuple)
	return string(sum[:])
}

func (p *Prover) remember(at lookup, proof Proof, refusal *Refusal) remembered {
	now := p.now()
	answer := remembered{identity: proof.Identity, refusal: refusal, until: now.Add(proofAge)}
	if !proof.Bearer.IsZero() {
		answer.sealed = at.aead().Seal(nil, nil, []byte(proof.Bearer.Reveal()), nil)
	}
	if refusal != nil {
		answer.until = now.Add(proofFailureAge)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxProofs {
		for k, r := range p.known {
			if !now.Before(r.until) {
				delete(p.known, k)
			}
		}
	}
	if len(p.known) < maxProofs {
		p.known[at.place] = answer
	}
	return answer
}

func (p *Prover) ask(ctx context.Context, api string, brought Brought, appToken Secret, swap bool) (proof Proof, refusal *Refusal) {
	select {
	case p.gate <- struct{}{}:
		defer func() { <-p.gate }()
	default:
		return Proof{}, Refuse(ProofUnavailable, errors.New("too many proofs at once")).After(time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	body, status, err := p.get(ctx, api+"/v1/User/currentPrincipal", brought, appToken)
	switch {
	case err != nil:
		return Proof{}, Refuse(ProofUnavailable, err).After(time.Second)
	case status == http.StatusMisdirectedRequest:
		return Proof{}, Refuse(ProofUnavailable, ErrMisdirected).After(time.Second)
	case status >= 500 || status == http.StatusTooManyRequests:
		return Proof{}, Refuse(ProofUnavailable, fmt.Errorf("currentPrincipal answered %d", status)).After(time.Second)
	case status != http.StatusOK:
		return Proof{}, Refuse(CredentialInvalid, fmt.Errorf("currentPrincipal answered %d", status))
	}
	if proof.Identity, err = superoffice.ParseIdentity(body); err != nil {
		return Proof{}, Refuse(CredentialInvalid, err)
	}
	if swap {
		proof.Bearer, refusal = p.currentToken(ctx, api, brought, appToken)
	}
	return proof, refusal
}

// currentToken returns the Bearer of the holder of the credential.
func (p *Prover) currentToken(ctx context.Context, api string, brought Brought, appToken Secret) (Secret, *Refusal) {
	body, status, err := p.get(ctx, api+"/v1/User/currentToken", brought, appToken)
	switch {
	case err != nil:
		return Secret{}, Refuse(ProofUnavailable, err).After(time.Second)
	case status == http.StatusMisdirectedRequest:
		return Secret{}, Refuse(ProofUnavailable, ErrMisdirected).After(time.Second)
	case status == http.StatusNotFound:
		return Secret{}, Refuse(SwapUnavailable, errors.New("this SuperOffice has no User/currentToken"))
	case status == http.StatusUnauthorized:
		return Secret{}, Refuse(CredentialInvalid, errors.New("currentToken answered 401"))
	case status != http.StatusOK:
		return Secret{}, Refuse(ProofUnavailable, fmt.Errorf("currentToken answered %d", status)).After(time.Second)
	}
	var token string
	if err := json.Unmarshal(body, &token); err != nil || token == "" {
		return Secret{}, Refuse(SwapUnavailable, errors.New("currentToken did not answer a token"))
	}
	return NewSecret(token), nil
}

func (p *Prover) get(ctx context.Context, target string, brought Brought, appToken Secret) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/json")
	if !brought.Authorization.IsZero() {
		req.Header.Set("Authorization", brought.Authorization.Reveal())
	}
	if !brought.Cookie.IsZero() {
		req.Header.Set("Cookie", SessionCookie+"="+brought.Cookie.Reveal())
		req.Header.Set("X-XSRF-TOKEN", brought.XSRF.Reveal())
	}
	if !appToken.IsZero() {
		req.Header.Set("SO-AppToken", appToken.Reveal())
	}
	resp, err := p.client.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProofAnswer))
	return body, resp.StatusCode, err
}

// SessionCookie is the cookie of a SuperOffice web client's session.
const SessionCookie = "ASP.NET_SessionId"
