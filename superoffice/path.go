package superoffice

import "strings"

// Verdict says what a request's path is to the gateway.
type Verdict uint8

const (
	// NotOurs: the path names something else, however it is decoded.
	NotOurs Verdict = iota
	// Canonical: an ErpSync call in the one spelling that is served.
	Canonical
	// NonCanonical: some server would read it as an ErpSync call, yet it is not the
	// canonical spelling. It must be refused, never passed on.
	NonCanonical
)

// Call is what a path says: which tenant's API (Onsite where it names none) and which operation.
type Call struct {
	Tenant    Tenant
	Operation Operation
}

// Paths knows where the WebAPI is in the gateway's own URL space.
type Paths struct {
	directory string // onsite: "/crm7" or ""; Online: ""
	online    bool
}

// OnlinePaths serves /{CustNNNNN}/api/v1/… and /api/v1/…
func OnlinePaths() Paths { return Paths{online: true} }

// OnsitePaths serves {directory}/api/v1/…, with directory as in "/crm7" ("" for the root).
func OnsitePaths(directory string) Paths {
	return Paths{directory: strings.TrimSuffix(directory, "/")}
}

// Read judges an escaped path (as [net/url.URL.EscapedPath] gives it). Letters
// may be of any case and one trailing slash is let by, as SuperOffice does; any
// other deviation from the canonical spelling is NonCanonical. A canonical path whose
// operation has no name here is Canonical with UnknownOperation.
func (p Paths) Read(escaped string) (Call, Verdict) {
	if !mayNameAgent(escaped) {
		return Call{}, NotOurs
	}
	if call, ok := p.canonical(escaped); ok {
		return call, Canonical
	}
	if namesAgent(escaped) {
		return Call{}, NonCanonical
	}
	return Call{}, NotOurs
}

func (p Paths) canonical(path string) (Call, bool) {
	var call Call
	rest, ok := cutPrefixFold(path, p.directory+"/")
	if !ok {
		return call, false
	}
	if p.online {
		if head, tail, found := strings.Cut(rest, "/"); found {
			if tenant, ok := ParseTenant(head); ok {
				call.Tenant, rest = tenant, tail
			}
		}
	}
	name, ok := cutPrefixFold(rest, "api/v1/agents/erpsync/")
	if !ok {
		return call, false
	}
	name = strings.TrimSuffix(name, "/")
	if name == "" {
		return call, false
	}
	for _, c := range []byte(name) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return call, false
		}
	}
	call.Operation, _ = ParseOperation(name)
	return call, true
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
