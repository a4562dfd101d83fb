//go:build !linux

package adminapi

import (
	"errors"
	"net"
)

// PeersAreKnown reports whether this system names the user at the other end of a unix socket.
const PeersAreKnown = false

func peerOf(*net.UnixConn) (uint32, error) {
	return 0, errors.New("this system does not name the user at the other end of a unix socket")
}

// Occupant reports whether another process listens at a unix socket. Here it cannot be told from this one.
func Occupant(string) (pid int, occupied bool) { return 0, false }
