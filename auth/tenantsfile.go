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
	"reflect"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

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
	if err := asText(string(raw)); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	switch first := bytes.TrimSpace(raw); {
	case len(first) == 0:
		return nil, errors.New(`it is empty; to allow none, write {"tenants": []}`)
	case first[0] == '[':
		return nil, errors.New(`line 1: a list, want an object that holds it: {"tenants": [ … ]}`)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var file struct {
		Schema  string        `json:"$schema"`
		Tenants []tenantEntry `json:"tenants"`
	}
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", placeAt(raw, decoder.InputOffset(), err), inWords(raw, err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: something follows the closing brace", placeAt(raw, decoder.InputOffset(), nil))
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
			return nil, fmt.Errorf("tenants[%d]: %s occurs twice in the file", i, tenant)
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

// placeAt names the line and the column at which an error was met.
func placeAt(raw []byte, offset int64, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(raw))
	}
	before := raw[:min(max(offset, 0), int64(len(raw)))]
	column := len(before) - 1 - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(before, []byte("\n")), max(column, 1))
}

// inWords says what a decoder met in the words of the file's reader, without values of the file.
func inWords(raw []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("%s, want an object: {\"tenants\": [ … ]}", kindOf(kind.Value))
	case errors.As(err, &kind):
		return fmt.Errorf("%s is of the wrong kind (%s), want %s", kind.Field, kindOf(kind.Value), wanted(kind.Type))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file ends before its closing brace")
	case errors.As(err, &syntax) && syntax.Offset > 0 && syntax.Offset <= int64(len(raw)):
		switch met, _ := utf8.DecodeRune(raw[syntax.Offset-1:]); {
		case met == '/' || met == '#':
			return errors.New("JSON has no comments; take it out")
		case met == ']' || met == '}':
			return fmt.Errorf("unexpected %q; a comma too many or a value too few", met)
		case !unicode.IsGraphic(met) && !unicode.IsSpace(met):
			return fmt.Errorf("an invisible character (%U); take it out", met)
		}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("there is no property %s", name)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// kindOf is the kind of a value alone: encoding/json says "number 17".
func kindOf(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}

// wanted names a type in the words of JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "a number"
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

// Tenant returns a tenant's grant as the file has it now.
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
	if f.stat != nil && os.SameFile(f.stat, stat) && f.stat.ModTime().Equal(stat.ModTime()) && f.stat.Size() == stat.Size() && f.stat.Mode() == stat.Mode() && time.Since(stat.ModTime()) > 2*followInterval {
		return false, nil
	}
	if ReadableByAll(f.path, stat) {
		return false, fmt.Errorf("tenants file %s holds system tokens and is readable by everybody: chmod o-r it, or close a directory above it to others", f.path)
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
