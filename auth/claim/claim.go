// Package claim has the gateways of a store count calls together. A call claims everything that bounds it in one
// question; what it holds is renewed for all of a gateway's calls at once while it runs, and given back beside its caller.
package claim

import (
	"context"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/lease"
)

// TTL is how long what a call holds lasts without being renewed: what a gateway that dies held is free after that.
const TTL = lease.TTL

// Rate bounds calls by the second.
type Rate struct {
	// Name is what is counted; "": nothing is.
	Name string
	// PerSecond is how many calls there may be in a second, more than 0, and Burst how many of them at once.
	PerSecond float64
	Burst     int
}

// Place is a place among the calls in flight.
type Place struct {
	Name string
	// Most is how many there are; zero or less: the call is counted and never refused.
	Most int
}

// Key is a caller's key, under which a note says that the call may have run.
type Key struct {
	// Name is the key of the note, and the name of the lease of who works on it; "": there is none.
	Name string
	// Note is written unless there is one; "": it is only looked for. It is kept for Keep.
	Note string
	Keep time.Duration
	// Stays has the note stay where a place is refused, for a call that waits for one.
	Stays bool
}

// CoolDown keeps calls apart.
type CoolDown struct {
	// Name is what cools down; "": nothing does.
	Name string
	// Until is kept as the value for Period; "": the call takes no part in it, and is only refused.
	Until  string
	Period time.Duration
}

// Session is a session that a call relies on, as its record was when it was read.
type Session struct {
	// Place is the key of its record, and Version the record's; 0: the call relies on none.
	Place   [32]byte
	Version uint64
}

// Request is what a call wants of the store, in the order in which it is refused.
type Request struct {
	// ID names the call to others. It is the holder of its leases.
	ID string
	// Token is part of every value that is written, so that the same question, asked once more, finds its own. Keeper.Claim sets
	// it.
	Token string

	// Session must be alive, and of that version still.
	Session Session
	// Scopes are those whose revocation epochs are wanted; none: not even the store's own is.
	Scopes [][32]byte
	Rate   Rate
	Key    Key
	// Places are those that the call takes, the widest last.
	Places []Place
	// Waits says that the call waits where no place is free, so that other gateways leave the next one to it in its turn.
	Waits bool
	// Lease excludes the same call, and Unended is the key of a value that says that it may be running still; "": none.
	Lease, Unended string
	CoolDown       CoolDown
}

// Bound is what refuses a call.
type Bound uint8

// Bounds, in their order.
const (
	// Granted: nothing does.
	Granted Bound = iota
	// BySession: the session has ended, was revoked, or is of another version. Nothing was taken or charged.
	BySession
	// ByRate: Wait says when there might be one more.
	ByRate
	// ByKey: Value is the note that is there, "" if there is none yet, and Holder works on it; "" if nobody does.
	ByKey
	// ByPlace: Full is which of the places, counted from 0, has no room.
	ByPlace
	// ByLease: Holder makes the same call.
	ByLease
	// ByUnended: Value names the call whose end is unknown, and Wait is how long it may still run.
	ByUnended
	// ByCoolDown: Wait says how long it lasts.
	ByCoolDown
)

// Result is what a claim came to. A call that is refused holds nothing, apart from a Key that Stays.
type Result struct {
	Refused Bound
	Wait    time.Duration
	Full    int
	Holder  string
	Value   string
	// Epochs are the store's own epoch and those of the scopes; nil if the call was refused before they were read.
	Epochs []string
}

// Value is a value that is removed unless it is another's by now.
type Value struct{ Name, Token, Value string }

// Holding is what a call holds at the store.
type Holding struct {
	ID     string
	Places []string
	Leases []string
	// Values are those that are removed with it.
	Values []Value
	// Charge is counted by its rate when it is given back, and never refused.
	Charge Rate
}

// Store counts for several gateways, by its own clock. An error means that it gave no answer; what was asked may then have been
// done.
type Store interface {
	// Claim takes everything that the request wants, or nothing. gateway names the one that asks: gateways take turns where not
	// all can be served.
	Claim(ctx context.Context, gateway string, r *Request) (Result, error)
	// Renew has what calls hold last TTL from now, and takes again what is gone. lost names, by the place of its call in the
	// list, who holds a lease instead.
	Renew(ctx context.Context, gateway string, calls []Holding) (lost map[int]string, err error)
	// Return releases what calls hold; what another call holds by now stays.
	Return(ctx context.Context, gateway string, calls []Holding) error
}
