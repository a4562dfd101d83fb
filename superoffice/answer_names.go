package superoffice

import (
	"io"
	"slices"
	"strings"
)

// names finds properties that occur twice. A reader without regard to case
// takes isOk for IsOk, so both together are one property twice.
type names uint16

// take notes a property and gives the name that it is understood by, "" for one that
// an outcome is not told from.
func (n *names) take(name string) (string, error) {
	i := slices.Index(answerNames, name) // as SuperOffice writes it
	if i < 0 {
		i = slices.IndexFunc(answerNames, func(known string) bool { return strings.EqualFold(known, name) })
	}
	if i < 0 {
		return "", nil
	}
	if *n&(1<<i) != 0 {
		return "", ErrTwice
	}
	*n |= 1 << i
	if answerNames[i] == name {
		return name, nil
	}
	return "", nil
}

// sparing gives a decoder no more than maxAnswerText for one token, whatever
// the decoder would buffer.
type sparing struct {
	from io.Reader
	left int
}

func (s *sparing) next() { s.left = maxAnswerText }

func (s *sparing) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, ErrTooLong
	}
	n, err := s.from.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}
