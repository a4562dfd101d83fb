package auth

import (
	"crypto/sha256"
	"crypto/subtle"
)

const redacted = "[secret]"

// Secret is a value that must not be seen: a client secret, a token, a ticket.
// Formatting, marshalling and logging it show a placeholder; only Reveal gives
// the value, so that every place that uses one can be found by that name.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself, for the wire or for sealing.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

// Equal compares in a time that depends on neither value. A zero Secret equals nothing.
func (s Secret) Equal(other string) bool {
	a, b := sha256.Sum256([]byte(s.value)), sha256.Sum256([]byte(other))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s.value != ""
}

func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// GoString, MarshalText and MarshalJSON keep the value out of %#v, encoders and dumps.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretSource is a secret that can be replaced while the gateway runs. While the new
// value cannot be read the last one stays, so neither method fails.
type SecretSource interface {
	// Get returns the value, which may be some seconds old.
	Get() Secret
	// Reload reads the value anew and returns it.
	Reload() Secret
}
