package adminapi

import (
	"net"

	"golang.org/x/sys/unix"
)

// PeersAreKnown reports whether this system names the user at the other end of a unix socket.
const PeersAreKnown = true

// peerOf returns the user that opened the other end of a unix socket. The kernel recorded it when the
// connection was made.
func peerOf(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return credentials.Uid, nil
}
