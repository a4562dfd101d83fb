package superoffice

import "strings"

// Tenant names a customer's installation in SuperOffice Online, in the one
// spelling "Cust12345". The empty Tenant is an onsite installation, which has
// no name on the wire.
type Tenant string

// Onsite is the tenant of an installation that the customer runs itself.
const Onsite Tenant = ""

// maxTenantDigits bounds what is taken for a tenant. Published ones have five digits.
const maxTenantDigits = 10

// ParseTenant reads a context identifier as SuperOffice writes it in paths,
// tokens and claims: "Cust" in any case and one to ten digits. The result is
// in the canonical spelling; ok is false for everything else.
func ParseTenant(s string) (t Tenant, ok bool) {
	const prefix = "Cust"
	if len(s) <= len(prefix) || len(s) > len(prefix)+maxTenantDigits || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	for _, c := range []byte(s[len(prefix):]) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	if s[:len(prefix)] == prefix {
		return Tenant(s), true
	}
	return Tenant(prefix + s[len(prefix):]), true
}

func (t Tenant) String() string {
	if t == Onsite {
		return "onsite"
	}
	return string(t)
}
