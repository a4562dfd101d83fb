package superoffice

import (
	"encoding/json"
	"errors"
	"time"
)

// TenantState is what the state service answers about a tenant:
// GET {environment}/api/state/{CustNNNNN}, no credentials.
type TenantState struct {
	Tenant     Tenant
	State      string // Running, OnlineMaintenance, Suspended, …: a closed list, see KnownState
	Running    bool
	API        string // the tenant's WebAPI as told, not yet trusted
	ValidUntil time.Time
}

var knownStates = map[string]bool{
	"Unknown": true, "Provisioning": true, "Running": true, "Deleted": true, "Suspended": true, "OnlineMaintenance": true,
	"OfflineMaintenance": true, "ProvisioningFailed": true, "Deleting": true, "DeleteFailed": true, "MigrationPending": true,
}

// ParseTenantState reads the state service's answer. A state that the vendor
// does not list is told as Unknown, so that it can stand in logs and metrics.
// A ValidUntil that cannot be read is the zero time.
func ParseTenantState(body []byte) (TenantState, error) {
	var wire struct {
		ContextIdentifier string
		State             string
		IsRunning         bool
		ValidUntil        string
		Api               string //nolint:revive // the wire's spelling
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return TenantState{}, errors.New("the state service did not answer JSON")
	}
	tenant, ok := ParseTenant(wire.ContextIdentifier)
	if !ok {
		return TenantState{}, errors.New("the state service's answer names no tenant")
	}
	state := TenantState{Tenant: tenant, State: wire.State, Running: wire.IsRunning, API: wire.Api, ValidUntil: parseValidUntil(wire.ValidUntil)}
	if !knownStates[state.State] {
		state.State = "Unknown"
	}
	return state, nil
}

// parseValidUntil reads the vendor's time with its seven fractional digits. One
// without a zone is taken for UTC.
func parseValidUntil(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
