package superoffice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds what an ignored property may hold.
const maxDepth = 32

func readJSONArguments(body []byte, f *argumentFields) error {
	if !utf8.Valid(body) {
		return problem("", "not UTF-8")
	}
	r := jsonArguments{decoder: json.NewDecoder(bytes.NewReader(body)), fields: f}
	r.decoder.UseNumber()
	if err := r.object(); err != nil {
		if known := (*ArgumentError)(nil); errors.As(err, &known) {
			return known
		}
		return problem("", "not well-formed JSON at byte "+strconv.FormatInt(r.decoder.InputOffset(), 10))
	}
	if _, err := r.decoder.Token(); !errors.Is(err, io.EOF) {
		return problem("", "something follows the JSON value")
	}
	return nil
}

type jsonArguments struct {
	decoder *json.Decoder
	fields  *argumentFields
}

func (r jsonArguments) object() error {
	token, err := r.decoder.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return nil
	}
	if token != json.Delim('{') {
		return problem("", "not an object")
	}
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		field, err := r.fields.name(token.(string))
		if err != nil {
			return err
		}
		if err := r.property(field); err != nil {
			return err
		}
	}
	_, err = r.decoder.Token()
	return err
}

func (r jsonArguments) property(field string) error {
	args := &r.fields.args
	switch field {
	case connectionField:
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		args.Connection, err = jsonInt32(token, "/"+field)
		return err
	case internalKeysField:
		return r.list(field, func(token json.Token, pointer string) error {
			key, err := jsonInt32(token, pointer)
			args.Keys = append(args.Keys, key)
			return err
		})
	case externalKeysField:
		return r.list(field, func(token json.Token, pointer string) error {
			key, ok := token.(string)
			if !ok || key == "" {
				return problem(pointer, "not a string with something in it")
			}
			args.ExternalKeys = append(args.ExternalKeys, key)
			return nil
		})
	case actorTypeField:
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		actor, ok := token.(string)
		if !ok {
			return problem("/"+field, "not a string")
		}
		args.ActorType = actor
		return nil
	default:
		return r.skip()
	}
}

func (r jsonArguments) list(field string, each func(json.Token, string) error) error {
	token, err := r.decoder.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return nil
	}
	if token != json.Delim('[') {
		return problem("/"+field, "not a list")
	}
	for i := 0; r.decoder.More(); i++ {
		if i == maxKeys {
			return problem("/"+field, "more than 100000 keys")
		}
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		if err := each(token, "/"+field+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	_, err = r.decoder.Token()
	return err
}

// skip passes over the value of a property that SuperOffice ignores.
func (r jsonArguments) skip() error {
	for depth := 0; ; {
		token, err := r.decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return problem("", "nested too deeply")
		}
		if depth == 0 {
			return nil
		}
	}
}

// jsonInt32 takes plain integers alone: how Json.NET rounds 612.0 or reads "612"
// depends on its settings.
func jsonInt32(token json.Token, pointer string) (int32, error) {
	number, ok := token.(json.Number)
	if !ok {
		return 0, problem(pointer, "not an int32")
	}
	return parseInt32(number.String(), pointer)
}

func parseInt32(s, pointer string) (int32, error) {
	value, err := strconv.ParseInt(s, 10, 32)
	if err != nil || s[0] == '+' || s == "-0" {
		return 0, problem(pointer, "not an int32")
	}
	return int32(value), nil
}
