package superoffice

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds what an ignored property may hold.
const maxDepth = 32

func readJSONArguments(body []byte, f *argumentFields) error {
	if !utf8.Valid(body) {
		return problem("", "not UTF-8")
	}
	// Names that stand twice are told with their place, see argumentFields.name.
	r := jsonArguments{takeDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true)), f}
	defer giveBack(r.decoder)
	if err := r.object(); err != nil {
		if known := (*ArgumentError)(nil); errors.As(err, &known) {
			return known
		}
		return problem("", "not well-formed JSON at byte "+strconv.FormatInt(r.decoder.InputOffset(), 10))
	}
	if _, err := r.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return problem("", "something follows the JSON value")
	}
	return nil
}

type jsonArguments struct {
	decoder *jsontext.Decoder
	fields  *argumentFields
}

func (r jsonArguments) object() error {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return err
	}
	switch token.Kind() {
	case 'n':
		return nil
	case '{':
	default:
		return problem("", "not an object")
	}
	for {
		token, err := r.decoder.ReadToken()
		if err != nil || token.Kind() == '}' {
			return err
		}
		field, err := r.fields.name(token.String())
		if err != nil {
			return err
		}
		if err := r.property(field); err != nil {
			return err
		}
	}
}

func (r jsonArguments) property(field string) error {
	args := &r.fields.args
	switch field {
	case connectionField:
		token, err := r.decoder.ReadToken()
		if err != nil {
			return err
		}
		args.Connection, err = jsonInt32(token, "/"+field)
		return err
	case internalKeysField:
		return r.list(field, func(token jsontext.Token) error {
			key, err := jsonInt32(token, "")
			args.Keys = append(args.Keys, key)
			return err
		})
	case externalKeysField:
		return r.list(field, func(token jsontext.Token) error {
			key := token.String()
			if token.Kind() != '"' || key == "" {
				return problem("", "not a string with something in it")
			}
			args.ExternalKeys = append(args.ExternalKeys, key)
			return nil
		})
	case actorTypeField:
		token, err := r.decoder.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() != '"' {
			return problem("/"+field, "not a string")
		}
		args.ActorType = token.String()
		return nil
	default:
		return r.skip()
	}
}

func (r jsonArguments) list(field string, each func(jsontext.Token) error) error {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return err
	}
	switch token.Kind() {
	case 'n':
		return nil
	case '[':
	default:
		return problem("/"+field, "not a list")
	}
	for i := 0; ; i++ {
		token, err := r.decoder.ReadToken()
		if err != nil || token.Kind() == ']' {
			return err
		}
		if i == maxKeys {
			return problem("/"+field, "more than 100000 keys")
		}
		if err := each(token); err != nil {
			if where := (*ArgumentError)(nil); errors.As(err, &where) {
				where.Pointer = "/" + field + "/" + strconv.Itoa(i)
			}
			return err
		}
	}
}

// skip passes over the value of a property that SuperOffice ignores.
func (r jsonArguments) skip() error {
	for outside := r.decoder.StackDepth(); ; {
		if _, err := r.decoder.ReadToken(); err != nil {
			return err
		}
		switch depth := r.decoder.StackDepth(); {
		case depth > outside+maxDepth:
			return problem("", "nested too deeply")
		case depth <= outside:
			return nil
		}
	}
}

// jsonInt32 takes plain integers alone: how Json.NET rounds 612.0 or reads "612"
// depends on its settings.
func jsonInt32(token jsontext.Token, pointer string) (int32, error) {
	if token.Kind() != '0' {
		return 0, problem(pointer, "not an int32")
	}
	return parseInt32(token.String(), pointer)
}

func parseInt32(s, pointer string) (int32, error) {
	value, err := strconv.ParseInt(s, 10, 32)
	if err != nil || s[0] == '+' || s == "-0" {
		return 0, problem(pointer, "not an int32")
	}
	return int32(value), nil
}
