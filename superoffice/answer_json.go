package superoffice

import (
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ReadJSONAnswer reads a JSON answer of the agent to its end, in memory that does
// not grow with it. The text is UTF-8 without a byte order mark. Errors are
// ErrNotAnAnswer, ErrTwice, ErrTooDeep, ErrTooLong, those of from, and what
// jsontext returns for malformed text; io.ErrUnexpectedEOF tells one that was cut short.
func ReadJSONAnswer(from io.Reader) (Answer, error) {
	r := jsonAnswer{from: sparing{from: from}}
	r.from.next()
	// Only names that an outcome is told from may not stand twice, see names.
	r.decoder = takeDecoder(&r.from, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	defer giveBack(r.decoder)
	a, err := r.read()
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

type jsonAnswer struct {
	from    sparing
	decoder *jsontext.Decoder
}

func (r *jsonAnswer) token() (jsontext.Token, error) {
	r.from.next()
	token, err := r.decoder.ReadToken()
	if err == nil && r.decoder.StackDepth() > maxAnswerDepth {
		return token, ErrTooDeep
	}
	return token, err
}

// inner is token where the text cannot end yet.
func (r *jsonAnswer) inner() (jsontext.Token, error) {
	token, err := r.token()
	if err != nil && errors.Is(err, io.EOF) { // errors.Is is a call, and this is asked for each token
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

func (r *jsonAnswer) read() (a Answer, err error) {
	token, err := r.inner()
	if err != nil {
		return a, err
	}
	switch token.Kind() {
	case 'n':
		a.Null = true
	case '{':
		if err := r.object(&a); err != nil {
			return a, err
		}
	default:
		return a, ErrNotAnAnswer
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
		if err != nil || token.Kind() == '}' {
			return err
		}
		name, err := seen.take(token.String())
		if err != nil {
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

func (r *jsonAnswer) property(a *Answer, name string, value jsontext.Token) error {
	kind := value.Kind()
	if into := a.text(name); into != nil {
		a.Present = true
		switch kind {
		case 'n':
		case '"':
			text := value.String()
			*into = &text
		default:
			return ErrNotAnAnswer
		}
		return nil
	}
	if into := a.faultText(name); into != nil {
		a.Fault.Present = true
		if kind == '"' {
			*into = value.String()
		}
		return r.skip(kind)
	}
	switch name {
	case isOk:
		a.Present = true
		switch kind {
		case 'n':
		case 't', 'f':
			yes := value.Bool()
			a.IsOk = &yes
		default:
			return ErrNotAnAnswer
		}
		return nil
	case errorFlag:
		a.Fault.Present = true
	case changes:
		a.Present = true
		switch kind {
		case '{':
			return r.changes(a)
		case 'n':
			return nil
		}
		return ErrNotAnAnswer
	}
	return r.skip(kind)
}

// changes counts the records that were changed.
func (r *jsonAnswer) changes(a *Answer) error {
	for {
		token, err := r.inner()
		if err != nil || token.Kind() == '}' {
			return err
		}
		into := a.count(token.String())
		value, err := r.inner()
		if err != nil {
			return err
		}
		if kind := value.Kind(); kind == '[' && into != nil {
			*into, err = r.elements()
		} else {
			err = r.skip(kind)
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
		if err != nil || token.Kind() == ']' {
			return n, err
		}
		if err := r.skip(token.Kind()); err != nil {
			return n, err
		}
		n++
	}
}

// skip reads to the end of the value that has begun with a token of that kind.
func (r *jsonAnswer) skip(kind jsontext.Kind) error {
	if kind != '{' && kind != '[' {
		return nil
	}
	for outside := r.decoder.StackDepth() - 1; r.decoder.StackDepth() > outside; {
		if _, err := r.inner(); err != nil {
			return err
		}
	}
	return nil
}
