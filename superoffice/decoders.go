package superoffice

import (
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Decoders are used again: a new one takes more memory than most bodies and answers have.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// takeDecoder returns a decoder of what from holds, to be given back.
func takeDecoder(from io.Reader, options ...jsontext.Options) *jsontext.Decoder {
	decoder := decoders.Get().(*jsontext.Decoder)
	decoder.Reset(from, options...)
	return decoder
}

func giveBack(decoder *jsontext.Decoder) {
	decoder.Reset(nothing{}) // so that what was read last is not held meanwhile
	decoders.Put(decoder)
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
