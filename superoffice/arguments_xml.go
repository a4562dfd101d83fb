package superoffice

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readXMLArguments reads one element whose children are the properties, lists
// being children of their own (<InternalKeyIds><int>386</int></InternalKeyIds>).
// The name of the outer element is not published and not looked at; names of
// properties are compared exactly, as XML readers do, and one that differs by
// case only is refused because it would mean "everything" to one reader and keys to another.
func readXMLArguments(body []byte, f *argumentFields) error {
	if !utf8.Valid(body) {
		return problem("", "not UTF-8")
	}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	decoder.CharsetReader = func(string, io.Reader) (io.Reader, error) {
		return nil, problem("", "the encoding is not utf-8")
	}
	r := xmlArguments{decoder, f}
	if err := r.document(); err != nil {
		if known := (*ArgumentError)(nil); errors.As(err, &known) {
			return known
		}
		return problem("", "not well-formed XML at byte "+strconv.FormatInt(decoder.InputOffset(), 10))
	}
	return nil
}

type xmlArguments struct {
	decoder *xml.Decoder
	fields  *argumentFields
}

// next gives the next token that matters; text between elements has to be blank.
func (r xmlArguments) next() (xml.Token, error) {
	for {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, problem("", "a document type is not taken")
		case xml.ProcInst:
			if token.Target != "xml" {
				return nil, problem("", "a processing instruction is not taken")
			}
		case xml.Comment:
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				return nil, problem("", "text where an element belongs")
			}
		default:
			return token, nil
		}
	}
}

func (r xmlArguments) document() error {
	if err := r.expectStart(); err != nil {
		return err
	}
	for {
		token, err := r.next()
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			break
		}
		field, err := r.fields.name(start.Name.Local)
		if err != nil {
			return err
		}
		if field != "" && field != start.Name.Local {
			return problem("/"+field, "the name is spelled in other letters")
		}
		if field != "" && hasNil(start) {
			return problem("/"+field, "nil is not taken; leave the element out")
		}
		if err := r.property(field); err != nil {
			return err
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		return problem("", "something follows the document")
	}
	return nil
}

func hasNil(start xml.StartElement) bool {
	for _, a := range start.Attr {
		if strings.EqualFold(a.Name.Local, "nil") {
			return true
		}
	}
	return false
}

func (r xmlArguments) expectStart() error {
	token, err := r.next()
	if err != nil {
		return err
	}
	if _, ok := token.(xml.StartElement); !ok {
		return problem("", "no element")
	}
	return nil
}

func (r xmlArguments) property(field string) (err error) {
	args := &r.fields.args
	switch field {
	case connectionField:
		text, err := r.text("/" + field)
		if err != nil {
			return err
		}
		args.Connection, err = formInt32(strings.TrimSpace(text), "/"+field)
		return err
	case actorTypeField:
		args.ActorType, err = r.text("/" + field)
		return err
	case internalKeysField:
		return r.list(field, func(text, pointer string) error {
			key, err := formInt32(strings.TrimSpace(text), pointer)
			args.Keys = append(args.Keys, key)
			return err
		})
	case externalKeysField:
		return r.list(field, func(text, pointer string) error {
			if text == "" {
				return problem(pointer, "not a string with something in it")
			}
			args.ExternalKeys = append(args.ExternalKeys, text)
			return nil
		})
	default:
		return r.decoder.Skip()
	}
}

func (r xmlArguments) list(field string, each func(text, pointer string) error) error {
	for i := 0; ; i++ {
		token, err := r.next()
		if err != nil {
			return err
		}
		if _, ok := token.(xml.StartElement); !ok {
			return nil
		}
		if i == maxKeys {
			return problem("/"+field, "more than 100000 keys")
		}
		pointer := "/" + field + "/" + strconv.Itoa(i)
		text, err := r.text(pointer)
		if err != nil {
			return err
		}
		if err := each(text, pointer); err != nil {
			return err
		}
	}
}

// text reads up to the end of the element that was begun.
func (r xmlArguments) text(pointer string) (string, error) {
	var b strings.Builder
	for {
		token, err := r.decoder.Token()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.CharData:
			b.Write(token)
		case xml.EndElement:
			return b.String(), nil
		default:
			return "", problem(pointer, "not plain text")
		}
	}
}
