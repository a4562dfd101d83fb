// Package jws reads signed tokens (RFC 7515, RFC 7519) strictly, beside the library
// that verifies them: names are exact, no name occurs twice, and a header that
// changes what the signature means is refused.
package jws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Header is the protected header of a token, as far as it is used.
type Header struct {
	Algorithm string
	// KeyID is the kid; "" if there is none.
	KeyID string
	// Type is the typ; "" if there is none.
	Type string
}

// ReadHeader returns the header of a token in compact form, which is not verified by that.
// It refuses crit, since no extension is understood here, and a payload that is not
// base64url (b64), whether crit announces it or not.
func ReadHeader(token string) (h Header, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return h, fmt.Errorf("not a signed token: it has %d parts, want 3", len(parts))
	}
	var members map[string]jsontext.Value
	if err := readSegment(parts[0], &members); err != nil {
		return h, fmt.Errorf("header: %w", err)
	}
	if _, there := members["crit"]; there {
		return h, errors.New("header: crit names extensions, and none is understood here")
	}
	if encoded, there := members["b64"]; there && string(encoded) != "true" {
		return h, errors.New("header: b64 says that the payload is not encoded")
	}
	for name, into := range map[string]*string{"alg": &h.Algorithm, "kid": &h.KeyID, "typ": &h.Type} {
		value, there := members[name]
		if !there {
			continue
		}
		if value.Kind() != '"' || json.Unmarshal(value, into) != nil {
			return h, fmt.Errorf("header: %s is not a string", name)
		}
	}
	if h.Algorithm == "" {
		return h, errors.New("header: there is no alg")
	}
	return h, nil
}

// ReadPayload reads the claims of a token in compact form, which are not verified by that.
func ReadPayload(token string, into any) error {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return errors.New("not a signed token")
	}
	if err := readSegment(payload, into); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

func readSegment(segment string, into any) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return errors.New("not base64url")
	}
	return Unmarshal(raw, into)
}

// Unmarshal parses JSON with exact names, each of which may occur once in its object, and in
// valid UTF-8. Its errors quote names and never values.
func Unmarshal(raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("the name %s occurs twice", Excerpt(syntax.JSONPointer.LastToken()))
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		return fmt.Errorf("%s is of another type than it must be", Excerpt(semantic.JSONPointer.LastToken()))
	case errors.As(err, &semantic):
		return errors.New("not a JSON object")
	}
	return errors.New("not valid JSON")
}

const maxExcerpt = 96

// Excerpt quotes the beginning of a text from outside for a log: on one line and at most 96 bytes of it.
func Excerpt(s string) string {
	cut := ""
	if len(s) > maxExcerpt {
		s, cut = s[:maxExcerpt], "…"
		for !utf8.ValidString(s) && len(s) > maxExcerpt-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	return strconv.QuoteToASCII(s) + cut
}
