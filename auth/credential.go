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

// Credential is what the gateway calls on with. It is a value: whoever gets one
// from a cache cannot change it for others.
type Credential struct {
	Kind CredentialKind
	// Owner says whose it is: user, system or account.
	Owner CallAs
	// Value is the token, ticket or user:password pair in base64, as the wire takes it.
	Value Secret
	// AppToken is sent as SO-AppToken; zero sends none.
	AppToken Secret
	// Minted is when it was made; zero: not known.
	Minted time.Time
	// Expires is when it is to be replaced; zero: not known.
	Expires time.Time
	// API is the WebAPI that the credential was issued for; empty: not known.
	API string
}

// Write puts the credential on a request's headers, in place of any that stand there.
func (c Credential) Write(h http.Header) {
	h["Authorization"] = []string{string(c.Kind) + " " + c.Value.Reveal()}
	delete(h, "So-Apptoken")
	if !c.AppToken.IsZero() {
		h["So-Apptoken"] = []string{c.AppToken.Reveal()}
	}
}

// Same tells that both are the same secret, so that a refused credential can be
// told from its successor.
func (c Credential) Same(other Credential) bool {
	return c.Kind == other.Kind && c.Value.Equal(other.Value.Reveal()) && c.AppToken == other.AppToken
}
