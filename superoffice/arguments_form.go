package superoffice

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readFormArguments reads ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230. A list may be
// written as jQuery and axios do (InternalKeyIds[]=386). Indexed names (InternalKeyIds[0]) are
// refused: ASP.NET stops at the first gap, so that what a caller expects of them is not certain.
func readFormArguments(body []byte, f *argumentFields) error {
	switch text := bytes.TrimSpace(body); text[0] {
	case '{', '[':
		return unsupported(contentType, "Content-Type says that the body is a form, and it looks like JSON; send Content-Type: application/json")
	case '<':
		return unsupported(contentType, "Content-Type says that the body is a form, and it looks like XML; send Content-Type: application/xml")
	}
	form := formArguments{fields: f}
	for pair := range strings.SplitSeq(string(body), "&") {
		if pair == "" {
			continue
		}
		if err := form.pair(pair); err != nil {
			return err
		}
	}
	return nil
}

type formArguments struct {
	fields *argumentFields
	names  [3]string // the spelling in which each property stood first
}

func (r *formArguments) pair(pair string) error {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, err := formText(rawName)
	if err != nil {
		return err
	}
	value, err := formText(rawValue)
	if err != nil {
		return err
	}
	return r.property(name, value)
}

func formText(raw string) (string, error) {
	text, err := url.QueryUnescape(raw)
	if err != nil || !utf8.ValidString(text) || strings.ContainsAny(raw, ";\x00") {
		return "", problem("", "not a form")
	}
	return text, nil
}

func (r *formArguments) property(name, value string) error {
	p, err := r.find(name)
	if err != nil {
		return err
	}
	args, pointer := &r.fields.args, p.pointer
	switch p.bit {
	case ConnectionProperty:
		args.Connection, err = parseInt32(value, pointer)
	case ActorTypeProperty:
		args.ActorType, err = value, plainText(value, pointer)
	case InternalKeysProperty:
		args.Keys, err = appendKey(args.Keys, value, pointer, parseInt32[string])
	case ExternalKeysProperty:
		args.ExternalKeys, err = appendKey(args.ExternalKeys, value, pointer, func(key, pointer string) (string, error) { return key, externalKey(key, pointer) })
	}
	return err
}

// find returns the property of a name. A list's name may stand there again, in the same letters.
func (r *formArguments) find(name string) (property, error) {
	plain, array := strings.CutSuffix(name, "[]")
	if !array {
		if i := strings.IndexAny(name, "[."); i >= 0 {
			for _, p := range r.fields.kind.properties() {
				if equalFoldASCII(p.name, name[:i]) {
					return p, problem(p.pointer, "indexed and dotted names are not taken; repeat the plain name")
				}
			}
		}
	}
	for i, p := range r.fields.kind.properties() {
		if !equalFoldASCII(p.name, plain) {
			continue
		}
		list := p.bit == InternalKeysProperty || p.bit == ExternalKeysProperty
		if list && r.names[i] == name {
			return p, nil
		}
		if array && !list {
			return p, problem(p.pointer, "is not a list")
		}
		r.names[i] = name
	}
	return r.fields.state(plain, true)
}

func appendKey[T any](list []T, value, pointer string, read func(value, pointer string) (T, error)) ([]T, error) {
	if len(list) == maxKeys {
		return nil, problem(pointer, "more than 100000 keys")
	}
	key, err := read(value, pointer+"/"+strconv.Itoa(len(list)))
	return append(list, key), err
}
