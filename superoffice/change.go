package superoffice

import (
	"slices"
	"strconv"
	"strings"
)

// Change is what SuperOffice says has become of a tenant, or is about to.
type Change string

// The changes there are. Whichever other one is UnknownChange.
const (
	Upgrade        Change = "upgrade"
	BackupRestored Change = "backup_restored"
	Suspend        Change = "suspend"
	Resume         Change = "resume"
	Delete         Change = "delete"
	Move           Change = "move"
	UnknownChange  Change = "unknown"
)

// tenantChanges are the changes by their number on the wire.
var tenantChanges = []Change{Upgrade, BackupRestored, Suspend, Resume, Delete, Move}

// Changes lists every change, UnknownChange last.
func Changes() []Change { return append(slices.Clone(tenantChanges), UnknownChange) }

// changeNames are the vendor's names of changes, in lower case.
var changeNames = []string{"upgrade", "backuprestored", "suspend", "resume", "delete", "move"}

// UnmarshalJSON reads the number of a change, or its name.
func (c *Change) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = slices.Index(changeNames, strings.ToLower(text))
	}
	if *c = UnknownChange; n >= 0 && n < len(tenantChanges) {
		*c = tenantChanges[n]
	}
	return nil
}
