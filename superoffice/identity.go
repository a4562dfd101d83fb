package superoffice

import (
	"encoding/json"
	"errors"
	"slices"
)

// Identity is what User/currentPrincipal answers about the holder of a credential.
type Identity struct {
	Tenant        Tenant // Onsite where the installation names no database context
	AssociateID   int
	Associate     string // logon name
	FullName      string
	Email         string
	Administrator bool
	System        bool // the system user rather than a person
}

// ParseIdentity reads the answer of GET User/currentPrincipal (a
// SoPrincipalCarrier in the vendor's client). An answer without an associate is an error:
// a login page or a masked carrier must not pass for a person.
//
// That the function right "admin-all" marks an administrator is inferred from
// the vendor's list of function rights; no page says so of this call.
func ParseIdentity(body []byte) (Identity, error) {
	var carrier struct {
		UserType                  string
		RoleType                  string
		Associate                 string
		AssociateId               int //nolint:revive // the wire's spelling
		FullName                  string
		EMailAddress              string
		FunctionRights            []string
		DatabaseContextIdentifier string
	}
	if err := json.Unmarshal(body, &carrier); err != nil {
		return Identity{}, errors.New("currentPrincipal did not answer a principal in JSON")
	}
	if carrier.Associate == "" || carrier.AssociateId == 0 || carrier.UserType == "AnonymousAssociate" {
		return Identity{}, errors.New("currentPrincipal named no associate")
	}
	tenant, _ := ParseTenant(carrier.DatabaseContextIdentifier)
	return Identity{
		Tenant:        tenant,
		AssociateID:   carrier.AssociateId,
		Associate:     carrier.Associate,
		FullName:      carrier.FullName,
		Email:         carrier.EMailAddress,
		Administrator: slices.Contains(carrier.FunctionRights, "admin-all"),
		System:        carrier.UserType == "SystemAssociate" || carrier.RoleType == "System",
	}, nil
}
