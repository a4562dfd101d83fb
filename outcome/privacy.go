package outcome

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// Disclosure says how much of something personal an audit line tells.
type Disclosure string

const (
	Full Disclosure = "full"
	// Hashed writes a keyed hash: lines of one person can be told to belong together,
	// and nobody without the key can say whose they are.
	Hashed Disclosure = "hash"
	Omit   Disclosure = "omit"
)

// Privacy says how much of a person the audit lines tell. The zero Privacy omits everything.
type Privacy struct {
	Principals   Disclosure
	Explanations Disclosure
	// Key keys the hashes.
	Key []byte
}

// disclose returns what an audit line keeps of a personal text, "" for nothing.
func (p Privacy) disclose(how Disclosure, text string) string {
	switch {
	case text == "":
		return ""
	case how == Full:
		return text
	case how == Hashed:
		return p.Hash(text)
	}
	return ""
}

// Principal is what a line keeps of a principal, "" for nothing.
func (p Privacy) Principal(id string) string { return p.disclose(p.Principals, id) }

// quotedText is a value that a cause repeats: all of them are quoted.
var quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// cause is what a line keeps of the check that refused a call. Values of a token's may name a person, so that they are
// told only where principals are told in full.
func (p Privacy) cause(text string) string {
	if p.Principals == Full {
		return text
	}
	return quotedText.ReplaceAllString(text, "[omitted]")
}

// Hash is what stands in an audit line for a text that is hashed.
func (p Privacy) Hash(text string) string {
	mac := hmac.New(sha256.New, p.Key)
	mac.Write([]byte("erpsync audit "))
	mac.Write([]byte(text))
	return "hmac:" + hex.EncodeToString(mac.Sum(nil)[:16])
}
