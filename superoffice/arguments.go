package superoffice

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// maxKeys is how many keys one call may name.
const maxKeys = 100_000

// Arguments is what a call asks for, as SuperOffice will read it.
type Arguments struct {
	// Connection is ErpConnectionId; one that is not positive means from the CRM.
	Connection int32
	// Keys are InternalKeyIds in the caller's order.
	Keys []int32
	// ExternalKeys are the ERP's own keys, for the operations that take them.
	ExternalKeys []string
	// ActorType is ErpActorType, for the operations that take ExternalKeys.
	ActorType string
	// Everything tells that the call resynchronises everything: it names no key,
	// or the operation takes none.
	Everything bool
}

// ArgumentError says where and why a body cannot be understood for certain.
type ArgumentError struct {
	// MediaType tells that the content type is the trouble, not the body.
	MediaType bool
	// Pointer is a JSON pointer to the place, "" for the whole body.
	Pointer string
	// Problem is a short text that quotes nothing of the body.
	Problem string
}

func (e *ArgumentError) Error() string {
	if e.Pointer == "" {
		return e.Problem
	}
	return e.Pointer + ": " + e.Problem
}

func problem(pointer, text string) *ArgumentError {
	return &ArgumentError{Pointer: pointer, Problem: text}
}

// ReadArguments reads the body of a call, which the caller has bounded.
// contentType is the header as sent; "" is read as JSON. Errors are *ArgumentError.
//
// Each reading is as narrow as the narrowest reader could be: what SuperOffice
// and the gateway might understand differently is refused. JSON Patch is always
// refused: what it would be applied to is not published.
func ReadArguments(op Operation, contentType string, body []byte) (Arguments, error) {
	if op.Arguments() == NoArguments {
		switch string(bytes.TrimSpace(body)) {
		case "", "{}", "null":
			return Arguments{Everything: op.Everything()}, nil
		}
		return Arguments{}, problem("", "the operation takes no arguments")
	}
	read, err := readerFor(contentType)
	if err != nil {
		return Arguments{}, err
	}
	fields := argumentFields{kind: op.Arguments()}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := read(body, &fields); err != nil {
			return Arguments{}, err
		}
	}
	args := fields.args
	args.Everything = len(args.Keys) == 0 && len(args.ExternalKeys) == 0
	return args, nil
}

func readerFor(contentType string) (func([]byte, *argumentFields) error, error) {
	if contentType == "" {
		return readJSONArguments, nil
	}
	media, params, err := ParseMediaType(contentType)
	if err != nil {
		return nil, &ArgumentError{MediaType: true, Problem: "the content type cannot be read"}
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, &ArgumentError{MediaType: true, Problem: "the charset is not utf-8"}
	}
	switch media {
	case "application/json", "text/json", "application/merge-patch+json":
		return readJSONArguments, nil
	case "application/xml", "text/xml":
		return readXMLArguments, nil
	case "application/x-www-form-urlencoded":
		return readFormArguments, nil
	case "application/json-patch+json":
		return nil, &ArgumentError{MediaType: true, Problem: "a JSON Patch has no certain meaning for an operation"}
	}
	return nil, &ArgumentError{MediaType: true, Problem: "the content type is none that SuperOffice lists"}
}

// argumentFields collects the properties of a body, whatever its form.
type argumentFields struct {
	kind ArgumentKind
	args Arguments
	seen [3]bool // by their place among the names
}

const (
	connectionField   = "ErpConnectionId"
	internalKeysField = "InternalKeyIds"
	externalKeysField = "ExternalKeys"
	actorTypeField    = "ErpActorType"
)

var (
	internalKeysNames = []string{connectionField, internalKeysField}
	externalKeysNames = []string{connectionField, externalKeysField, actorTypeField}
)

// name finds the property that SuperOffice would bind a name to: letters of any
// case, since the vendor's own client writes camelCase. "" is one that it ignores.
func (f *argumentFields) name(s string) (string, error) {
	known := internalKeysNames
	if f.kind == ExternalKeys {
		known = externalKeysNames
	}
	if strings.HasPrefix(s, "$") {
		return "", problem("", "a property whose name begins with $ steers the reader and is not taken")
	}
	for i, field := range known {
		if !strings.EqualFold(field, s) {
			continue
		}
		if len(field) != len(s) {
			return "", problem("", "a property's name is spelled with letters outside ASCII")
		}
		if f.seen[i] {
			return "", problem("/"+field, "stands in the body twice")
		}
		f.seen[i] = true
		return field, nil
	}
	return "", nil
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
	return hex.EncodeToString(sum[:])
}
