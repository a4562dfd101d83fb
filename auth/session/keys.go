// Package session keeps browser sessions: a cookie that nobody can guess or
// forge, a record that opens with that cookie alone, and the store between them.
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// MinKey is the least number of bytes that a key has to have.
const MinKey = 32

const (
	keyIDSize = 4
	bitsSize  = 32
	macSize   = 16
)

// ErrInvalid means that a cookie or a sealed value was not made by any of the keys.
var ErrInvalid = errors.New("not made by any of the keys")

// ErrNotFound is the cause of a refusal where a valid cookie leads to no session.
var ErrNotFound = errors.New("no session is kept for the cookie: it ended, expired or was revoked")

// Keys is a ring of secrets. The first seals and signs, all open and verify, so
// that a key is replaced by putting the new one in front.
type Keys struct{ ring []ringKey }

type ringKey struct {
	id     [keyIDSize]byte
	secret []byte
	macs   *sync.Pool // of keyed hashes: keying one costs more than its use
}

// NewKeys takes secrets of at least MinKey bytes. Errors name the key by its
// place, counted from 1, and never hold it.
func NewKeys(secrets ...[]byte) (*Keys, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no key")
	}
	keys := &Keys{}
	for i, secret := range secrets {
		if len(secret) < MinKey {
			return nil, fmt.Errorf("key %d has %d bytes, want at least %d", i+1, len(secret), MinKey)
		}
		mac := derive(secret, "erpsync cookie")
		key := ringKey{secret: secret, macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, mac) }}}
		copy(key.id[:], derive(secret, "erpsync key id"))
		for j, other := range keys.ring {
			if other.id == key.id {
				return nil, fmt.Errorf("key %d is the same as key %d", i+1, j+1)
			}
		}
		keys.ring = append(keys.ring, key)
	}
	return keys, nil
}

// derive returns 32 bytes that belong to one purpose and one tuple of parts.
func derive(secret []byte, purpose string, parts ...string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, string(tuple(nil, purpose, parts...)), 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return key
}

// tuple appends the parts with their lengths, so that no two tuples have the same bytes.
func tuple(out []byte, purpose string, parts ...string) []byte {
	out = binary.AppendUvarint(out, uint64(len(purpose)))
	out = append(out, purpose...)
	for _, part := range parts {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for lengths that derive does not give
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

// Seal encrypts plaintext for a purpose and a tuple of parts. Open needs the same.
func (k *Keys) Seal(purpose string, parts []string, plaintext []byte) string {
	first := k.ring[0]
	sealed := aead(derive(first.secret, purpose)).Seal(first.id[:], nil, plaintext, tuple(nil, purpose, parts...))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// Open decrypts what Seal made with any key of the ring; the error is ErrInvalid.
func (k *Keys) Open(purpose string, parts []string, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(raw) < keyIDSize {
		return nil, ErrInvalid
	}
	for _, key := range k.ring {
		if string(key.id[:]) != string(raw[:keyIDSize]) {
			continue
		}
		plaintext, err := aead(derive(key.secret, purpose)).Open(nil, nil, raw[keyIDSize:], tuple(nil, purpose, parts...))
		if err != nil {
			return nil, ErrInvalid
		}
		return plaintext, nil
	}
	return nil, ErrInvalid
}

// Newest reports whether Seal made the value with the first key of the ring.
func (k *Keys) Newest(sealed string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	return err == nil && len(raw) >= keyIDSize && string(raw[:keyIDSize]) == string(k.ring[0].id[:])
}

// Token is what a session's cookie holds: 256 random bits, from which the
// record's place and key and the XSRF token follow. Nothing else opens the session.
type Token struct {
	bits [bitsSize]byte
	key  [keyIDSize]byte
	mac  [macSize]byte
}

// Issue makes the token of a new session.
func (k *Keys) Issue() Token {
	t := Token{key: k.ring[0].id}
	_, _ = rand.Read(t.bits[:]) // never fails
	t.mac = k.ring[0].sign(t.bits)
	return t
}

func (k ringKey) sign(bits [bitsSize]byte) [macSize]byte {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(bits[:])
	return [macSize]byte(mac.Sum(nil))
}

// cookieLength is the length of every cookie value.
var cookieLength = base64.RawURLEncoding.EncodedLen(keyIDSize + bitsSize + macSize)

// Cookie is the value of the session's cookie.
func (t Token) Cookie() string {
	raw := append(append(append([]byte(nil), t.key[:]...), t.bits[:]...), t.mac[:]...)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Parse takes a cookie's value apart. One that no key of the ring signed is
// ErrInvalid, so that a forged cookie never reaches a store.
func (k *Keys) Parse(cookie string) (Token, error) {
	var raw [keyIDSize + bitsSize + macSize]byte
	if len(cookie) != cookieLength {
		return Token{}, ErrInvalid
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(cookie)); err != nil {
		return Token{}, ErrInvalid
	}
	t := Token{key: [keyIDSize]byte(raw[:]), bits: [bitsSize]byte(raw[keyIDSize:]), mac: [macSize]byte(raw[keyIDSize+bitsSize:])}
	for _, key := range k.ring {
		if key.id != t.key {
			continue
		}
		if mac := key.sign(t.bits); hmac.Equal(mac[:], t.mac[:]) {
			return t, nil
		}
	}
	return Token{}, ErrInvalid
}

// Place is where the session's record is kept. It does not lead back to the token.
func (t Token) Place() [sha256.Size]byte { return sha256.Sum256(t.bits[:]) }

// derive returns 32 bytes that belong to one purpose of the session's and one tuple of
// parts: the one-step key derivation of NIST SP 800-56C with SHA-256. The bits are uniform, so that
// nothing has to be extracted from them first, as HKDF does.
func (t Token) derive(purpose string, parts ...string) [sha256.Size]byte {
	in := make([]byte, 0, 128)
	in = binary.BigEndian.AppendUint32(in, 1)
	in = append(in, t.bits[:]...)
	return sha256.Sum256(tuple(in, purpose, parts...))
}

// XSRF is the session's XSRF token. It follows from the session and proves
// nothing without its cookie.
func (t Token) XSRF() string {
	value := t.derive("erpsync xsrf")
	return base64.RawURLEncoding.EncodeToString(value[:])
}

// CheckXSRF compares in constant time.
func (t Token) CheckXSRF(value string) bool {
	own := t.derive("erpsync xsrf")
	var room [2 * sha256.Size]byte // so that nothing is allocated
	return hmac.Equal(base64.RawURLEncoding.AppendEncode(room[:0], own[:]), []byte(value))
}

// sealer seals the session's record. A record is written anew under the same key, each time with a random nonce.
func (t Token) sealer(app, tenant string) cipher.AEAD {
	key := t.derive("erpsync session", app, tenant)
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // only for lengths that derive does not give
	}
	return aead
}

func (t Token) seal(app, tenant string, plaintext []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	_, _ = rand.Read(nonce) // never fails
	return t.sealer(app, tenant).Seal(nonce, nonce, plaintext, nil)
}

// open decrypts in place: sealed is not to be used any more.
func (t Token) open(app, tenant string, sealed []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, ErrInvalid
	}
	nonce, sealed := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	return t.sealer(app, tenant).Open(sealed[:0], nonce, sealed, nil)
}

func appScope(app string) Place { return sha256.Sum256(tuple(nil, "erpsync app", app)) }

func tenantScope(tenant string) Place {
	return sha256.Sum256(tuple(nil, "erpsync tenant", tenant))
}

// personScopes returns the person's scope under each key of the ring, the sealing
// one first: a store does not tell whose sessions it keeps.
func (k *Keys) personScopes(tenant, upn string) []Place {
	scopes := make([]Place, len(k.ring))
	for i, key := range k.ring {
		scopes[i] = Place(derive(key.secret, "erpsync person", tenant, strings.ToLower(upn)))
	}
	return scopes
}
