package auth

import (
	"net/http"
	"time"
)

// CredentialKind is the scheme of a credential that goes upstream.
type CredentialKind string

const (
	Bearer   CredentialKind = "Bearer"
	SOTicket CredentialKind = "SOTicket"
	Basic    CredentialKind = "Basic"
)

// Credential is what the gateway calls on with. It is a value: whatever gets one
// from a cache cannot change it for others.
type Credential struct {
	Kind CredentialKind
	// Owner says whose it is: user, system or account.
	Owner CallAs
	// Value is the token, ticket or user:password pair in base64, as the wire takes it.
	Value Secret
	// Minted is when it was made; zero: not known.
	Minted time.Time
	// Expires is when it is to be replaced; zero: not known.
	Expires time.Time
	// API is the WebAPI that the credential was issued for; empty: not known.
	API string
}

// Write sets the headers of a request that the credential authenticates, in place of any that are there.
// appToken is sent as SO-AppToken; zero sends none.
func (c Credential) Write(h http.Header, appToken Secret) {
	h["Authorization"] = []string{string(c.Kind) + " " + c.Value.Reveal()}
	delete(h, "So-Apptoken")
	if !appToken.IsZero() {
		h["So-Apptoken"] = []string{appToken.Reveal()}
	}
}

// Same reports whether both are the same secret, which distinguishes a rejected
// credential from its successor.
func (c Credential) Same(other Credential) bool {
	return c.Kind == other.Kind && c.Value.Equal(other.Value.Reveal())
}
