package superoffice

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

func readJSONArguments(body []byte, media bodyType, f *argumentFields) error {
	text, err := media.charset.decode(body)
	if err != nil {
		return err
	}
	// Names that stand twice are told with their place, see argumentFields.state.
	r := jsonArguments{takeDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true)), f}
	defer giveBack(r.decoder)
	if err := r.document(media.form); err != nil {
		if known := (*ArgumentError)(nil); errors.As(err, &known) {
			return known
		}
		return problem("", "not well-formed JSON at byte "+strconv.FormatInt(r.decoder.InputOffset(), 10))
	}
	return nil
}

type jsonArguments struct {
	decoder *jsontext.Decoder
	fields  *argumentFields
}

func (r jsonArguments) document(form bodyForm) error {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return err
	}
	switch kind := token.Kind(); {
	case kind == 'n':
		return problem("", noBody)
	case kind == '[' && form == patchForm:
		return unsupported(contentType, "a JSON Patch has no certain meaning for an operation; send an object")
	case kind != '{':
		return problem("", "not an object")
	}
	for {
		if r.decoder.PeekKind() == '}' {
			break
		}
		p, err := r.name()
		if err != nil {
			return err
		}
		if err := r.property(p); err != nil {
			return err
		}
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return err
	}
	if _, err := r.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return problem("", "something follows the JSON value")
	}
	return nil
}

// name reads a property's name, without an allocation in the usual case that nothing in it is escaped.
func (r jsonArguments) name() (property, error) {
	raw, err := r.decoder.ReadValue()
	if err != nil {
		return property{}, err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return r.fields.state(string(bytes.Trim(raw, `"`)), true)
	}
	name, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return property{}, err
	}
	return r.fields.state(string(name), true)
}

func (r jsonArguments) property(p property) (err error) {
	args, pointer := &r.fields.args, p.pointer
	switch p.bit {
	case ConnectionProperty:
		args.Connection, err = r.int32(pointer)
	case InternalKeysProperty:
		args.Keys, err = jsonList(r, pointer, r.int32)
	case ExternalKeysProperty:
		args.ExternalKeys, err = jsonList(r, pointer, func(pointer string) (string, error) {
			key, err := r.string(pointer)
			if err != nil {
				return "", err
			}
			return key, externalKey(key, pointer)
		})
	case ActorTypeProperty:
		if args.ActorType, err = r.string(pointer); err == nil {
			err = plainText(args.ActorType, pointer)
		}
	}
	return err
}

// jsonList returns nil for null.
func jsonList[T any](r jsonArguments, pointer string, read func(string) (T, error)) ([]T, error) {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case '[':
	default:
		return nil, problem(pointer, "not a list")
	}
	list := []T{}
	for r.decoder.PeekKind() != ']' {
		if len(list) == maxKeys {
			return nil, problem(pointer, "more than 100000 keys")
		}
		item, err := read("")
		if err != nil {
			if where := (*ArgumentError)(nil); errors.As(err, &where) {
				where.Pointer = pointer + "/" + strconv.Itoa(len(list))
			}
			return nil, err
		}
		list = append(list, item)
	}
	_, err = r.decoder.ReadToken()
	return list, err
}

// int32 takes plain integers alone: what 612.0, 6e2 or "612" is to the caller is not certain.
func (r jsonArguments) int32(pointer string) (int32, error) {
	value, err := r.decoder.ReadValue()
	if err != nil {
		return 0, err
	}
	return parseInt32(value, pointer)
}

func (r jsonArguments) string(pointer string) (string, error) {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return "", err
	}
	if token.Kind() != '"' {
		return "", problem(pointer, "not a string")
	}
	return token.String(), nil
}

// parseInt32 reads decimal digits after an optional minus, and not -0.
func parseInt32[Text ~string | ~[]byte](s Text, pointer string) (int32, error) {
	if len(s) > len("-2147483648") {
		return 0, problem(pointer, "not an int32")
	}
	value, err := strconv.ParseInt(string(s), 10, 32)
	if err != nil || s[0] == '+' || s[0] == '-' && value == 0 {
		return 0, problem(pointer, "not an int32")
	}
	return int32(value), nil
}
