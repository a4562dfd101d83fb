package superoffice

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
)

// maxKeys is how many keys one call may name.
const maxKeys = 100_000

// Arguments are what a call asks for, as they were judged. [Document] writes them
// for SuperOffice.
type Arguments struct {
	// Connection is ErpConnectionId; one that is not positive means from the CRM.
	Connection int32
	// Keys are InternalKeyIds in the caller's order; nil if absent or null.
	Keys []int32
	// ExternalKeys are the ERP's own keys, for the operations that take them; nil if absent or null.
	ExternalKeys []string
	// ActorType is ErpActorType, for the operations that take ExternalKeys.
	ActorType string
	// Stated are the properties that the body had. A nil list that is stated was null.
	Stated Properties
	// Everything reports whether the call resynchronises everything: it names no key,
	// or the operation takes none.
	Everything bool
}

// ArgumentError says where and why a body is refused.
type ArgumentError struct {
	// Header is the header field at fault, "" for the body itself.
	Header string
	// Pointer is a JSON pointer to the place, "" for the whole body.
	Pointer string
	// Problem is a short text that quotes nothing of the request.
	Problem string
}

func (e *ArgumentError) Error() string {
	if e.Pointer == "" {
		return e.Problem
	}
	return e.Pointer + ": " + e.Problem
}

// Accepted returns the response header that names what is taken in place of what was
// sent, as RFC 9110 15.5.16 has it for a 415; "" if the body itself is at fault.
func (e *ArgumentError) Accepted() (name, value string) {
	switch e.Header {
	case contentType:
		return "Accept", acceptedTypes
	case contentEncoding:
		return "Accept-Encoding", "identity"
	}
	return "", ""
}

func problem(pointer, text string) error {
	return &ArgumentError{Pointer: pointer, Problem: text}
}

// ReadArguments reads the body of a call, which the caller has bounded. Of header it
// reads Content-Type (none means JSON) and Content-Encoding. Errors are *ArgumentError.
//
// A body is understood in full or refused: every property is known and stands there once, the
// text is decoded once by the one charset that is declared. How SuperOffice would have read
// the same bytes does not matter, since they are not what is sent: see [Document].
func ReadArguments(op Operation, header http.Header, body []byte) (Arguments, error) {
	if err := checkContentEncoding(header[contentEncoding]); err != nil {
		return Arguments{}, err
	}
	if op.Arguments() == NoArguments {
		// Clients send no body with whatever type they are used to, so the type is not looked at.
		switch string(bytes.TrimSpace(body)) {
		case "", "{}", "null":
			return Arguments{Everything: op.Everything()}, nil
		}
		return Arguments{}, problem("", "the operation takes no arguments")
	}
	media, err := parseBodyType(header[contentType])
	if err != nil {
		return Arguments{}, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return Arguments{}, problem("", noBody)
	}
	fields := argumentFields{kind: op.Arguments()}
	switch media.form {
	case jsonForm, patchForm:
		err = readJSONArguments(body, media, &fields)
	case xmlForm:
		err = readXMLArguments(body, media.charset, &fields)
	case urlencodedForm:
		err = readFormArguments(body, &fields)
	}
	if err != nil {
		return Arguments{}, err
	}
	args := fields.args
	args.Everything = args.namesNoKey()
	if args.Everything && media.form == urlencodedForm && args.Stated&ConnectionProperty == 0 {
		return Arguments{}, problem("/"+connectionField, "is missing; a form without keys means everything only with ErpConnectionId")
	}
	return args, nil
}

// noBody refuses what an empty body would mean: a resync of everything by leaving something out.
const noBody = "the operation needs a body; an object without keys, {}, means everything"

func (a Arguments) namesNoKey() bool { return len(a.Keys) == 0 && len(a.ExternalKeys) == 0 }

// Describe returns what a call of op with the arguments does, in words for its caller.
func (a Arguments) Describe(op Operation) string {
	keys, field, named := len(a.Keys), internalKeysField, a.Keys != nil
	stated := a.Stated&InternalKeysProperty != 0
	switch op.Arguments() {
	case NoArguments:
		if op.Everything() {
			return op.String() + " of everything: the operation takes no keys"
		}
		return op.String()
	case ExternalKeys:
		keys, field, named, stated = len(a.ExternalKeys), externalKeysField, a.ExternalKeys != nil, a.Stated&ExternalKeysProperty != 0
	}
	source := " from the CRM"
	if a.Connection > 0 {
		source = " from ERP connection " + strconv.Itoa(int(a.Connection))
	}
	switch {
	case keys > 0:
		return op.String() + " of " + strconv.Itoa(keys) + " " + field + source
	case named:
		return op.String() + " of everything" + source + ": " + field + " is an empty list"
	case stated:
		return op.String() + " of everything" + source + ": " + field + " is null"
	}
	return op.String() + " of everything" + source + ": the body has no " + field
}

// KeysSum names the set of keys in hex digits, whatever their order and repetitions, so that no two sets share a name.
func (a Arguments) KeysSum() string {
	ids := slices.Clone(a.Keys)
	slices.Sort(ids)
	names := slices.Clone(a.ExternalKeys)
	slices.Sort(names)
	named := make([]byte, 0, 256)
	for _, id := range slices.Compact(ids) {
		named = binary.BigEndian.AppendUint32(named, uint32(id))
	}
	for _, name := range slices.Compact(names) {
		named = binary.BigEndian.AppendUint64(named, uint64(len(name)))
		named = append(named, name...)
	}
	sum := sha256.Sum256(named)
	return string(hex.AppendEncode(named[:0], sum[:]))
}
