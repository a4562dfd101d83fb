package history

import (
	"encoding/binary"
	"errors"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// The first byte of a packed key set.
const (
	packedNone byte = iota
	packedInternal
	packedExternal
)

var errPacked = errors.New("the key set is not packed as it should be")

// PackKeys returns the keys of a call in their order, in few bytes: internal ones as differences, which are small in
// the lists that people select, external ones with their lengths.
func PackKeys(a *superoffice.Arguments) []byte {
	switch {
	case len(a.Keys) > 0:
		packed := make([]byte, 1, 1+2*len(a.Keys))
		packed[0] = packedInternal
		last := int64(0)
		for _, key := range a.Keys {
			packed = binary.AppendVarint(packed, int64(key)-last)
			last = int64(key)
		}
		return packed
	case len(a.ExternalKeys) > 0:
		packed := []byte{packedExternal}
		for _, key := range a.ExternalKeys {
			packed = binary.AppendUvarint(packed, uint64(len(key)))
			packed = append(packed, key...)
		}
		return packed
	}
	return []byte{packedNone}
}

// UnpackKeys returns the keys that PackKeys packed; both lists are empty for a call that names no key.
func UnpackKeys(packed []byte) (internal []int32, external []string, err error) {
	if len(packed) == 0 {
		return nil, nil, errPacked
	}
	kind, rest := packed[0], packed[1:]
	switch kind {
	case packedNone:
		if len(rest) > 0 {
			return nil, nil, errPacked
		}
	case packedInternal:
		last := int64(0)
		for len(rest) > 0 {
			difference, n := binary.Varint(rest)
			last += difference
			if n <= 0 || int64(int32(last)) != last {
				return nil, nil, errPacked
			}
			internal, rest = append(internal, int32(last)), rest[n:]
		}
	case packedExternal:
		for len(rest) > 0 {
			length, n := binary.Uvarint(rest)
			if n <= 0 || length > uint64(len(rest)-n) {
				return nil, nil, errPacked
			}
			end := n + int(length)
			external, rest = append(external, string(rest[n:end])), rest[end:]
		}
	default:
		return nil, nil, errPacked
	}
	return internal, external, nil
}
