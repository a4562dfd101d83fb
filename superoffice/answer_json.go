package superoffice

import (
	"encoding/json"
	"errors"
	"io"
)

// ReadJSONAnswer reads a JSON answer of the agent to its end, in memory that does
// not grow with it. The text is UTF-8 without a byte order mark. Errors are
// ErrNotAnAnswer, ErrTwice, ErrTooDeep, ErrTooLong, those of from, and what
// encoding/json says of malformed text; io.ErrUnexpectedEOF tells one that was cut short.
func ReadJSONAnswer(from io.Reader) (Answer, error) {
	r := jsonAnswer{from: &sparing{from: from}}
	r.decoder = json.NewDecoder(r.from)
	r.decoder.UseNumber()
	a, err := r.read()
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

type jsonAnswer struct {
	from    *sparing
	decoder *json.Decoder
	depth   int
}

func (r *jsonAnswer) token() (json.Token, error) {
	r.from.next()
	token, err := r.decoder.Token()
	switch token {
	case json.Delim('{'), json.Delim('['):
		if r.depth++; r.depth > maxAnswerDepth {
			return nil, ErrTooDeep
		}
	case json.Delim('}'), json.Delim(']'):
		r.depth--
	}
	return token, err
}

// inner is token where the text cannot end yet.
func (r *jsonAnswer) inner() (json.Token, error) {
	token, err := r.token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

func (r *jsonAnswer) read() (a Answer, err error) {
	switch token, err := r.inner(); {
	case err != nil:
		return a, err
	case token == nil:
		a.Null = true
	case token != json.Delim('{'):
		return a, ErrNotAnAnswer
	default:
		if err := r.object(&a); err != nil {
			return a, err
		}
	}
	if _, err := r.token(); err == nil {
		return a, ErrNotAnAnswer
	} else if !errors.Is(err, io.EOF) {
		return a, err
	}
	return a, a.understood()
}

func (r *jsonAnswer) object(a *Answer) error {
	var seen names
	for {
		token, err := r.inner()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return nil // the object's end
		}
		if name, err = seen.take(name); err != nil {
			return err
		}
		value, err := r.inner()
		if err != nil {
			return err
		}
		if err := r.property(a, name, value); err != nil {
			return err
		}
	}
}

func (r *jsonAnswer) property(a *Answer, name string, value json.Token) error {
	_, composite := value.(json.Delim)
	if into := a.text(name); into != nil {
		a.Present = true
		return scalar(value, func(text string) { *into = &text })
	}
	if into := a.faultText(name); into != nil {
		a.Fault.Present = true
		if composite {
			return r.skip()
		}
		if text, ok := value.(string); ok {
			*into = text
		}
		return nil
	}
	switch name {
	case isOk:
		a.Present = true
		return scalar(value, func(yes bool) { a.IsOk = &yes })
	case errorFlag:
		a.Fault.Present = true
	case changes:
		a.Present = true
		if value == json.Delim('{') {
			return r.changes(a)
		}
		if value != nil {
			return ErrNotAnAnswer
		}
	}
	if composite {
		return r.skip()
	}
	return nil
}

// scalar takes a value of the type, or null.
func scalar[T any](value json.Token, take func(T)) error {
	switch value := value.(type) {
	case nil:
	case T:
		take(value)
	default:
		return ErrNotAnAnswer
	}
	return nil
}

// changes counts the records that were changed.
func (r *jsonAnswer) changes(a *Answer) error {
	for {
		token, err := r.inner()
		if err != nil {
			return err
		}
		list, ok := token.(string)
		if !ok {
			return nil
		}
		value, err := r.inner()
		if err != nil {
			return err
		}
		into := a.count(list)
		switch {
		case value == json.Delim('[') && into != nil:
			*into, err = r.elements()
		case value == json.Delim('['), value == json.Delim('{'):
			err = r.skip()
		}
		if err != nil {
			return err
		}
	}
}

// elements counts the elements of the array that has begun.
func (r *jsonAnswer) elements() (n int, err error) {
	for {
		token, err := r.inner()
		switch {
		case err != nil:
			return n, err
		case token == json.Delim(']'):
			return n, nil
		case token == json.Delim('['), token == json.Delim('{'):
			if err := r.skip(); err != nil {
				return n, err
			}
		}
		n++
	}
}

// skip reads to the end of the object or array that has begun.
func (r *jsonAnswer) skip() error {
	for outside := r.depth - 1; r.depth > outside; {
		if _, err := r.inner(); err != nil {
			return err
		}
	}
	return nil
}
