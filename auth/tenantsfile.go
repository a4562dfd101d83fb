package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

const (
	// followInterval is how often a tenants file is looked at. Looking rather
	// than being notified also sees a file that a container platform swaps
	// behind a symbolic link, or that lies on a network share.
	followInterval = time.Second

	// maxTenantsFile bounds a tenants file: some ten thousand tenants with their system tokens fit ten times over.
	maxTenantsFile = 64 << 20
)

// Tenants is what an app's tenants file grants, by tenant. It is read only.
type Tenants map[superoffice.Tenant]TenantGrant

// tenantEntry is one tenant in the file; docs/tenants.schema.json describes it for people.
type tenantEntry struct {
	Tenant      string            `json:"tenant"`
	Name        string            `json:"name"`
	Connections *[]connectionName `json:"connections"`
	SystemToken string            `json:"system_token"`
	ResyncAll   ResyncAll         `json:"resync_all"`
	Suspended   bool              `json:"suspended"`
}

// connectionName is a connection's number, or "crm".
type connectionName struct {
	crm bool
	id  int32
}

func (c *connectionName) UnmarshalJSON(b []byte) error {
	if string(b) == `"crm"` {
		c.crm = true
		return nil
	}
	if err := json.Unmarshal(b, &c.id); err != nil || c.id <= 0 {
		return errors.New(`a connection is a positive number or "crm"`)
	}
	return nil
}

// ParseTenants reads a tenants file. Errors name the line or the tenant, never a secret.
func ParseTenants(raw []byte) (Tenants, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var file struct {
		Schema  string        `json:"$schema"`
		Tenants []tenantEntry `json:"tenants"`
	}
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("line %d: %w", lineAt(raw, decoder.InputOffset(), err), withoutValues(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: something follows the closing brace", lineAt(raw, decoder.InputOffset(), nil))
	}
	if file.Tenants == nil {
		return nil, errors.New(`no "tenants" in it; to allow none, write "tenants": []`)
	}
	tenants := make(Tenants, len(file.Tenants))
	for i, entry := range file.Tenants {
		tenant, grant, err := entry.grant()
		if err != nil {
			return nil, fmt.Errorf("tenants[%d]: %w", i, err)
		}
		if _, twice := tenants[tenant]; twice {
			return nil, fmt.Errorf("tenants[%d]: %s stands in the file twice", i, tenant)
		}
		tenants[tenant] = grant
	}
	return tenants, nil
}

func (e tenantEntry) grant() (superoffice.Tenant, TenantGrant, error) {
	tenant, ok := superoffice.ParseTenant(e.Tenant)
	if !ok {
		return "", TenantGrant{}, fmt.Errorf("tenant %.20q is not of the form Cust12345", e.Tenant)
	}
	switch e.ResyncAll {
	case "", Deny, Confirm, Allow:
	default:
		return "", TenantGrant{}, fmt.Errorf("%s: resync_all is %.20q; want deny, confirm or allow", tenant, e.ResyncAll)
	}
	grant := TenantGrant{Name: e.Name, ResyncAll: e.ResyncAll, SystemToken: NewSecret(e.SystemToken), Suspended: e.Suspended}
	if e.Connections != nil {
		grant.Connections = &Connections{}
		for _, c := range *e.Connections {
			if c.crm {
				grant.Connections.CRM = true
				continue
			}
			grant.Connections.IDs = append(grant.Connections.IDs, c.id)
		}
	}
	return tenant, grant, nil
}

func lineAt(raw []byte, offset int64, err error) int {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	return 1 + bytes.Count(raw[:min(max(offset, 0), int64(len(raw)))], []byte("\n"))
}

// withoutValues keeps what a decoder quotes of the file out of an error.
func withoutValues(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s has the wrong type, want %s", kind.Field, kind.Type)
	}
	return err
}

// TenantsFile is a tenants file that is followed: a new content takes effect
// within some seconds, a broken one leaves the last good one in force.
type TenantsFile struct {
	path    string
	current atomic.Pointer[Tenants]
	stat    os.FileInfo
	digest  [sha256.Size]byte
}

// OpenTenantsFile reads the file for the first time. A file that is missing,
// broken or readable by everybody is an error.
func OpenTenantsFile(path string) (*TenantsFile, error) {
	f := &TenantsFile{path: path}
	if _, err := f.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Tenant gives a tenant's grant as the file has it now.
func (f *TenantsFile) Tenant(t superoffice.Tenant) (TenantGrant, bool) {
	grant, ok := (*f.current.Load())[t]
	return grant, ok
}

// All are the tenants that the file has now. They are read only.
func (f *TenantsFile) All() Tenants { return *f.current.Load() }

// Len is the number of tenants in the file now.
func (f *TenantsFile) Len() int { return len(*f.current.Load()) }

// Follow looks at the file until ctx is done. It calls changed after each new
// content: with nil when it took effect, with an error when the last good one stays in force.
func (f *TenantsFile) Follow(ctx context.Context, changed func(error)) {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for failing := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		fresh, err := f.reload()
		switch {
		case err != nil && err.Error() != failing:
			failing = err.Error()
			changed(err)
		case err == nil && (fresh || failing != ""):
			failing = ""
			changed(nil)
		}
	}
}

// reload reads the file if it is not the one that was read last.
func (f *TenantsFile) reload() (fresh bool, err error) {
	stat, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("tenants file %s: %w", f.path, errors.Unwrap(err))
	}
	if f.stat != nil && os.SameFile(f.stat, stat) && f.stat.ModTime().Equal(stat.ModTime()) && f.stat.Size() == stat.Size() && time.Since(stat.ModTime()) > 2*followInterval {
		return false, nil
	}
	if stat.Mode().Perm()&0o004 != 0 {
		return false, fmt.Errorf("tenants file %s holds system tokens and is readable by everybody: chmod o-r it", f.path)
	}
	if stat.Size() > maxTenantsFile {
		return false, fmt.Errorf("tenants file %s is larger than %d bytes", f.path, maxTenantsFile)
	}
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("tenants file %s: %w", f.path, errors.Unwrap(err))
	}
	digest := sha256.Sum256(raw)
	if f.stat != nil && digest == f.digest {
		f.stat = stat
		return false, nil
	}
	tenants, err := ParseTenants(raw)
	if err != nil {
		return false, fmt.Errorf("tenants file %s: %w", f.path, err)
	}
	f.current.Store(&tenants)
	f.stat, f.digest = stat, digest
	return true, nil
}
