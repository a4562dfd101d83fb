package history

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Failed is a group of failures with the calls that left its keys failing.
type Failed struct {
	Failure
	// Calls are the last calls of the group's keys, the first that ended first. A key is failing in one of them.
	Calls []FailedCall
	// More is how many calls there are beyond MaxFailedCalls.
	More int
	// Lost is how many of the group's keys fail through calls that the history no longer has, a resync of everything as one.
	Lost int
}

// FailedCall is the last call of keys that fail.
type FailedCall struct {
	Row
	// Failing is how many of its keys fail because of this call, a resync of everything as one. Its other keys were
	// moved since, or fail because of another call.
	Failing int
}

// MaxFailedCalls is how many calls of a group FailedCalls returns at most, the first that ended first.
const MaxFailedCalls = 10_000

// Why a row is not enough to make its call once more.
var (
	ErrIncomplete = errors.New("the history does not have the whole call")
	errNoCall     = errors.New("the row does not make the call that it is of")
)

// Call returns the arguments of the call, such that superoffice.Document writes what was judged then. It fails with
// ErrIncomplete for a call that was not understood or of whose keys only some are known. A row that was imported does not
// say which properties were stated: all are then.
func (r *Row) Call() (superoffice.Arguments, error) {
	a := superoffice.Arguments{Connection: r.Connection, ActorType: r.ActorType, Stated: r.Stated, Everything: r.Everything}
	if !r.Understood || r.Partial {
		return a, ErrIncomplete
	}
	var err error
	if a.Keys, a.ExternalKeys, err = UnpackKeys(r.Keys); err != nil {
		return a, err
	}
	if len(a.Keys)+len(a.ExternalKeys) != r.KeyCount {
		return a, ErrIncomplete
	}
	if a.Stated == 0 {
		a.Stated = r.Operation.Arguments().Properties()
	}
	return a, r.makes(a)
}

// makes checks that the document of arguments is read as the call that the row is of: one property that is missing would
// turn two keys into everything.
func (r *Row) makes(a superoffice.Arguments) error {
	document := superoffice.Document(r.Operation, a)
	read, err := superoffice.ReadArguments(r.Operation, http.Header{"Content-Type": {superoffice.DocumentType}}, document)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoCall, err)
	}
	if read.Connection != r.Connection || read.ActorType != r.ActorType || read.Everything != r.Everything || !bytes.Equal(PackKeys(&read), r.Keys) {
		return errNoCall
	}
	return nil
}

// Turned finds which calls were followed by one that moved a key of theirs, or everything, in the other direction: from
// the CRM where the call was from an ERP connection, or from any connection where it was from the CRM. SyncAll and
// ForceSyncAll have no direction, and internal keys say nothing of external ones.
type Turned struct {
	calls []*Row
	keyed map[turnedKey][]int // by a key that the call would have to name
	all   map[side][]int      // every call that something from that side turns
	whole map[side][]int      // those of them that were of everything
	by    []string
}

// side is from where calls of a tenant move data.
type side struct {
	environment, tenant string
	crm                 bool
}

type turnedKey struct {
	side
	kind      Kind
	actorType string
	key       any // int32 or string
}

// NewTurned returns what compares calls with later ones.
func NewTurned(calls []*Row) (*Turned, error) {
	t := &Turned{calls: calls, keyed: make(map[turnedKey][]int), all: make(map[side][]int), whole: make(map[side][]int), by: make([]string, len(calls))}
	for i, call := range calls {
		scope, moves := call.Scope()
		if !moves || scope.Kind != Internal && scope.Kind != External {
			continue
		}
		from := side{scope.Environment, scope.Tenant, scope.Connection != 0}
		t.all[from] = append(t.all[from], i)
		if call.Everything {
			t.whole[from] = append(t.whole[from], i)
		}
		keys, err := turningKeys(call, scope, from)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			t.keyed[key] = append(t.keyed[key], i)
		}
	}
	return t, nil
}

func turningKeys(r *Row, scope Scope, from side) (keys []turnedKey, err error) {
	internal, external, err := UnpackKeys(r.Keys)
	for _, key := range internal {
		keys = append(keys, turnedKey{from, scope.Kind, scope.ActorType, key})
	}
	for _, key := range external {
		keys = append(keys, turnedKey{from, scope.Kind, scope.ActorType, key})
	}
	return keys, err
}

// Later takes a call that was sent, in any order. It counts for the calls that were over when it began.
func (t *Turned) Later(r *Row) error {
	scope, moves := r.Scope()
	if !moves || scope.Kind != Internal && scope.Kind != External {
		return nil
	}
	from := side{scope.Environment, scope.Tenant, scope.Connection == 0}
	if r.Everything {
		t.note(r, t.all[from])
		return nil
	}
	t.note(r, t.whole[from])
	keys, err := turningKeys(r, scope, from)
	for _, key := range keys {
		t.note(r, t.keyed[key])
	}
	return err
}

func (t *Turned) note(later *Row, calls []int) {
	for _, i := range calls {
		if !later.Started.Before(t.calls[i].Ended) {
			t.by[i] = later.RequestID
		}
	}
}

// By returns the request id of a call that turned the call with that index; "" if none did.
func (t *Turned) By(i int) string { return t.by[i] }
