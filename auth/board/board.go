// Package board says how gateways of a store tell each other something that lasts: documents under names, each of which
// any gateway may write anew.
package board

import "context"

// Doc is a document.
type Doc struct {
	// Name can be read in the store; Text is as the gateways write it.
	Name, Text string
	// Version grows with each writing; 0: it is not there.
	Version int64
}

// Cursor is how far a gateway has read; the zero Cursor is before all.
type Cursor struct {
	Board string // another after the store has lost what it had
	At    int64
}

// Most is how many documents are read or written at a time.
const Most = 200

// Store keeps documents. An error means that it gave no answer, or is lacking a right.
type Store interface {
	// Since returns documents that were written after the cursor, the first written first and at most Most of them, and the cursor
	// for the next. more reports whether there may be others. lost reports that the store has lost what it had when the cursor
	// was made: it is to be read from the zero Cursor, and told anew.
	Since(ctx context.Context, cursor Cursor) (docs []Doc, next Cursor, more, lost bool, err error)
	// Put writes each document, at most Most of them, over the one whose Version it has, or where there is none if that is 0. It
	// returns the version that is there now of each, and whether that is the one written.
	Put(ctx context.Context, docs []Doc) (versions []int64, written []bool, err error)
	// Remove forgets a document; one that is not there is no error.
	Remove(ctx context.Context, name string) error
}
