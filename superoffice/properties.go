package superoffice

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-erpsync/caddy-erpsync/internal/nearest"
)

// Properties is a set of the properties that a body can have.
type Properties uint8

// The properties, each a set of its own.
const (
	ConnectionProperty   Properties = 1 << iota // ErpConnectionId
	InternalKeysProperty                        // InternalKeyIds
	ActorTypeProperty                           // ErpActorType
	ExternalKeysProperty                        // ExternalKeys
)

const (
	connectionField   = "ErpConnectionId"
	internalKeysField = "InternalKeyIds"
	actorTypeField    = "ErpActorType"
	externalKeysField = "ExternalKeys"
)

type property struct {
	bit     Properties
	name    string
	pointer string // to it in a body
}

func named(bit Properties, name string) property { return property{bit, name, "/" + name} }

// properties returns the properties of the operations of a kind, in the order in which they are written.
func (k ArgumentKind) properties() []property {
	switch k {
	case InternalKeys:
		return internalKeysProperties
	case ExternalKeys:
		return externalKeysProperties
	default:
		return nil
	}
}

// Properties returns every property that a body of the kind can have.
func (k ArgumentKind) Properties() (all Properties) {
	for _, p := range k.properties() {
		all |= p.bit
	}
	return all
}

var (
	internalKeysProperties = []property{named(ConnectionProperty, connectionField), named(InternalKeysProperty, internalKeysField)}
	externalKeysProperties = []property{named(ConnectionProperty, connectionField), named(ActorTypeProperty, actorTypeField), named(ExternalKeysProperty, externalKeysField)}
)

// argumentFields collects the properties of a body, whatever its form.
type argumentFields struct {
	kind ArgumentKind
	args Arguments
}

// state finds the property of that name and notes that the body has it. A name that the call does not
// have is refused: a misspelled InternalKeyIds that was passed over would mean everything.
// anyCase takes ASCII letters of either case, as Json.NET does and the vendor's client needs.
func (f *argumentFields) state(name string, anyCase bool) (property, error) {
	for _, p := range f.kind.properties() {
		if p.name != name && !(anyCase && equalFoldASCII(p.name, name)) {
			continue
		}
		if f.args.Stated&p.bit != 0 {
			return p, problem(p.pointer, "occurs twice in the body")
		}
		f.args.Stated |= p.bit
		return p, nil
	}
	return property{}, f.unknown(name)
}

// unknown refuses a name and offers the nearest known one.
func (f *argumentFields) unknown(name string) error {
	var names []string
	for _, p := range f.kind.properties() {
		names = append(names, p.name)
	}
	const longest = 2 * len(internalKeysField) // a longer name is no misspelling
	if meant := nearest.Word(name[:min(len(name), longest)], names); meant != "" && len(name) <= longest {
		return problem("", "the body has a property that the operation does not take; did you mean "+meant+"?")
	}
	return problem("", "the body has a property that the operation does not take; it takes "+strings.Join(names, ", "))
}

// equalFoldASCII is [strings.EqualFold] without the letters outside ASCII that fold to one of it.
func equalFoldASCII(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// externalKey refuses a key that holds nothing to see or is not text. Two systems would store it differently.
func externalKey(key, pointer string) error {
	if strings.IndexFunc(key, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }) < 0 {
		return problem(pointer, "is blank")
	}
	return plainText(key, pointer)
}

// plainText refuses control characters, noncharacters, what is not UTF-8, and the mark of a character that was lost.
func plainText(s, pointer string) error {
	if strings.IndexFunc(s, notText) >= 0 {
		return problem(pointer, "is not plain text")
	}
	return nil
}

func notText(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}
