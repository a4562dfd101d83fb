package superoffice

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// readXMLArguments reads one element whose children are the properties, lists
// being children of their own (<InternalKeyIds><int>386</int></InternalKeyIds>).
// The name of the outer element is not published and not looked at, nor are namespaces and the
// order of the properties. Their names are compared exactly, as XML has it.
func readXMLArguments(body []byte, declared charset, f *argumentFields) error {
	text, err := decodeXML(body, declared)
	if err != nil {
		return err
	}
	r := xmlArguments{xml.NewDecoder(bytes.NewReader(text)), f}
	if err := r.document(); err != nil {
		if known := (*ArgumentError)(nil); errors.As(err, &known) {
			return known
		}
		return problem("", "not well-formed XML at byte "+strconv.FormatInt(r.decoder.InputOffset(), 10)+" after the declaration")
	}
	return nil
}

// xmlDeclaration is the declaration of XML 1.0, which encoding/xml reads less strictly: blanks around
// the equals sign hide an encoding from it.
var xmlDeclaration = regexp.MustCompile(strings.ReplaceAll(`^<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')(?:\s+encoding\s*=\s*(?:"([A-Za-z][\w.-]*)"|'([A-Za-z][\w.-]*)'))?(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>`, `\s`, `[ \t\r\n]`))

// decodeXML returns what follows the declaration, as UTF-8. Without a charset in Content-Type the
// document's own encoding counts; one that disagrees is refused.
func decodeXML(body []byte, declared charset) ([]byte, error) {
	text := body
	if declared == undeclared {
		// Every charset that is taken from the document itself writes the declaration in ASCII.
		text = bytes.TrimPrefix(body, markUTF8)
	} else {
		var err error
		if text, err = declared.decode(body); err != nil {
			return nil, err
		}
	}
	own := undeclared
	if found := xmlDeclaration.FindSubmatch(text); found != nil {
		text = text[len(found[0]):]
		if name := string(found[1]) + string(found[2]); name != "" {
			var known bool
			if own, known = parseCharset(name); !known {
				return nil, problem("", "the encoding that the XML declares is not taken; send utf-8")
			}
		}
	}
	if declared != undeclared {
		if own != undeclared && !declared.agrees(own) {
			return nil, problem("", "the encoding that the XML declares is not the charset of Content-Type")
		}
		return text, nil
	}
	marked := bytes.HasPrefix(body, markUTF8)
	switch own {
	case asciiText, latin1Text:
		if !marked {
			return own.decode(text)
		}
	case undeclared, utf8Text:
		if !bytes.HasPrefix(text, markUTF8) { // the one mark is off already
			return own.decode(text)
		}
	}
	return nil, problem("", "the encoding that the XML declares is not the one that it is written in")
}

type xmlArguments struct {
	decoder *xml.Decoder
	fields  *argumentFields
}

// next returns the next token that matters: the start or the end of an element. Text between elements has to be blank.
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
			return nil, problem("", "a processing instruction is not taken")
		case xml.Comment:
		case xml.CharData:
			if len(bytes.Trim(token, xmlSpace)) > 0 {
				return nil, problem("", "text where an element belongs")
			}
		case xml.StartElement:
			return token, checkAttributes(token)
		default:
			return token, nil
		}
	}
}

const xmlSpace = " \t\r\n"

// checkAttributes refuses whatever could change what an element means: nil, a type, a reference to another element.
func checkAttributes(start xml.StartElement) error {
	for _, a := range start.Attr {
		switch {
		case a.Name.Space == "xmlns", a.Name.Space == "" && a.Name.Local == "xmlns":
		case a.Name.Local == "schemaLocation", a.Name.Local == "noNamespaceSchemaLocation":
		case a.Name.Local == "nil":
			return problem("", "nil is not taken; leave the element out")
		default:
			return problem("", "an attribute that is not taken")
		}
	}
	return nil
}

func (r xmlArguments) document() error {
	token, err := r.next()
	if err != nil {
		return err
	}
	if _, ok := token.(xml.StartElement); !ok {
		return problem("", "no element")
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
		p, err := r.fields.state(start.Name.Local, false)
		if err != nil {
			return err
		}
		if err := r.property(p); err != nil {
			return err
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		return problem("", "something follows the document")
	}
	return nil
}

func (r xmlArguments) property(p property) (err error) {
	args, pointer := &r.fields.args, p.pointer
	switch p.bit {
	case ConnectionProperty:
		args.Connection, err = r.int32(pointer)
	case ActorTypeProperty:
		if args.ActorType, err = r.text(pointer); err == nil {
			err = plainText(args.ActorType, pointer)
		}
	case InternalKeysProperty:
		args.Keys, err = xmlList(r, pointer, "int", r.int32)
	case ExternalKeysProperty:
		args.ExternalKeys, err = xmlList(r, pointer, "string", func(pointer string) (string, error) {
			key, err := r.text(pointer)
			if err != nil {
				return "", err
			}
			return key, externalKey(key, pointer)
		})
	}
	return err
}

// xmlList reads elements of one name up to the end of the list.
func xmlList[T any](r xmlArguments, pointer, name string, read func(string) (T, error)) ([]T, error) {
	list := []T{}
	for {
		token, err := r.next()
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
			return list, nil
		case start.Name.Local != name:
			return nil, problem(pointer, "an element that is not taken; its elements are <"+name+">")
		case len(list) == maxKeys:
			return nil, problem(pointer, "more than 100000 keys")
		}
		item, err := read(pointer + "/" + strconv.Itoa(len(list)))
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
}

func (r xmlArguments) int32(pointer string) (int32, error) {
	text, err := r.text(pointer)
	if err != nil {
		return 0, err
	}
	return parseInt32(strings.Trim(text, xmlSpace), pointer)
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
