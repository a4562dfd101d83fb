package superoffice

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// ReadXMLAnswer reads an XML answer of the agent to its end, in memory that does
// not grow with it. Elements are known by their names, in any namespace:
// the documentation's samples have none, the SOAP twin's have one, and no sample of a
// PluginResponse is published. charset turns a text whose prolog names another
// encoding than UTF-8 into UTF-8; nil refuses such a text. Errors are as ReadJSONAnswer's, and
// ErrDocumentType.
func ReadXMLAnswer(from io.Reader, charset func(label string, from io.Reader) (io.Reader, error)) (Answer, error) {
	r := xmlAnswer{from: &sparing{from: from}}
	r.from.next()
	r.decoder = xml.NewDecoder(r.from)
	r.decoder.CharsetReader = charset
	a, err := r.read()
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

type xmlAnswer struct {
	from    *sparing
	decoder *xml.Decoder
	depth   int
}

func (r *xmlAnswer) token() (xml.Token, error) {
	for {
		r.from.next()
		token, err := r.decoder.Token()
		if syntax := (*xml.SyntaxError)(nil); errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch token.(type) {
		case xml.Directive:
			return nil, ErrDocumentType
		case xml.Comment, xml.ProcInst:
			continue
		case xml.StartElement:
			if r.depth++; r.depth > maxAnswerDepth {
				return nil, ErrTooDeep
			}
		case xml.EndElement:
			r.depth--
		}
		return token, nil
	}
}

func (r *xmlAnswer) read() (a Answer, err error) {
	root, err := r.root()
	if err != nil {
		return a, err
	}
	if isNil(root) {
		a.Null = true
		err = r.skip()
	} else {
		err = r.properties(&a, root.Name.Local == "PluginResponse")
	}
	if err != nil {
		return a, err
	}
	if err := r.nothingMore(); err != nil {
		return a, err
	}
	return a, a.understood()
}

func (r *xmlAnswer) root() (xml.StartElement, error) {
	for {
		token, err := r.token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return xml.StartElement{}, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			return token, nil
		case xml.CharData:
			if blank(token) {
				continue
			}
		}
		return xml.StartElement{}, ErrNotAnAnswer
	}
}

func (r *xmlAnswer) nothingMore() error {
	for {
		token, err := r.token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if text, ok := token.(xml.CharData); !ok || !blank(text) {
			return ErrNotAnAnswer
		}
	}
}

// properties reads the elements of the root. Only a PluginResponse's own
// element holds its properties; an error body's name is not documented.
func (r *xmlAnswer) properties(a *Answer, pluginResponse bool) error {
	var seen names
	for {
		token, err := r.token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return nil
		case xml.CharData:
			if !blank(token) {
				return ErrNotAnAnswer
			}
		case xml.StartElement:
			name, err := seen.take(token.Name.Local)
			if err != nil {
				return err
			}
			if err := r.property(a, name, pluginResponse, isNil(token)); err != nil {
				return err
			}
		}
	}
}

func (r *xmlAnswer) property(a *Answer, name string, pluginResponse, null bool) error {
	if into := a.faultText(name); into != nil && !pluginResponse {
		a.Fault.Present = true
		text, err := r.text()
		*into = text
		return err
	}
	into := a.text(name)
	if !pluginResponse || (into == nil && name != isOk && name != changes) {
		return r.skip()
	}
	a.Present = true
	switch {
	case null:
		return r.skip()
	case name == changes:
		return r.changes(a)
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	if into != nil {
		*into = &text
		return nil
	}
	yes := false
	switch strings.TrimSpace(text) {
	case "true", "1":
		yes = true
	case "false", "0":
	default:
		return ErrNotAnAnswer
	}
	a.IsOk = &yes
	return nil
}

// text reads the text of the element that has begun, which holds nothing else.
func (r *xmlAnswer) text() (string, error) {
	var text strings.Builder
	for {
		token, err := r.token()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.CharData:
			if text.Len()+len(token) > maxAnswerText {
				return "", ErrTooLong
			}
			text.Write(token)
		case xml.EndElement:
			return text.String(), nil
		default:
			return "", ErrNotAnAnswer
		}
	}
}

// changes counts the records that were changed.
func (r *xmlAnswer) changes(a *Answer) error {
	var into *int
	for outside := r.depth - 1; r.depth > outside; {
		token, err := r.token()
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		switch {
		case ok && r.depth == outside+2:
			into = a.count(start.Name.Local)
		case ok && r.depth == outside+3 && into != nil:
			*into++
		}
	}
	return nil
}

// skip reads to the end of the element that has begun.
func (r *xmlAnswer) skip() error {
	for outside := r.depth - 1; r.depth > outside; {
		if _, err := r.token(); err != nil {
			return err
		}
	}
	return nil
}

func isNil(e xml.StartElement) bool {
	for _, attribute := range e.Attr {
		if attribute.Name.Local == "nil" && attribute.Name.Space == "http://www.w3.org/2001/XMLSchema-instance" {
			return attribute.Value == "true" || attribute.Value == "1"
		}
	}
	return false
}

func blank(text []byte) bool { return len(strings.TrimSpace(string(text))) == 0 }
