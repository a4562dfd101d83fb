package auth

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseSecret returns a secret of one value as people save it: one line of text, whose end is not part of it. What an
// editor or a shell added besides is refused and named: it would be sent as part of the secret, and SuperOffice would
// answer that the secret is wrong. Errors continue the name of the place, and never hold the value.
func ParseSecret(raw string) (Secret, error) {
	if err := asText(raw); err != nil {
		return Secret{}, err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(raw, "\n"), "\r")
	switch {
	case strings.TrimSpace(value) == "":
		return Secret{}, errors.New("is empty")
	case strings.ContainsAny(value, "\r\n"):
		return Secret{}, errors.New("has more than one line; keep the value alone, on one line")
	case value != strings.TrimSpace(value):
		return Secret{}, errors.New("begins or ends with a space; remove it")
	case len(value) > 1 && strings.ContainsAny(value[:1], `"'`+"`") && value[:1] == value[len(value)-1:]:
		return Secret{}, errors.New("is in quotes, which would be part of the value; remove them")
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }):
		return Secret{}, errors.New("holds an invisible character; type or copy it anew")
	}
	return NewSecret(value), nil
}

// asText refuses what is not saved as plain text.
func asText(raw string) error {
	switch {
	case strings.HasPrefix(raw, "\xff\xfe"), strings.HasPrefix(raw, "\xfe\xff"), strings.Contains(raw, "\x00"):
		return errors.New("is saved as UTF-16; save it as plain text (UTF-8)")
	case strings.HasPrefix(raw, "\ufeff"):
		return errors.New("begins with a byte order mark; save it as plain text (UTF-8 without BOM)")
	case !utf8.ValidString(raw):
		return errors.New("is no text in UTF-8; save it as plain text")
	}
	return nil
}
