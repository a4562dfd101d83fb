package adminapi

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// PeersAreKnown reports whether this system names the user at the other end of a unix socket.
const PeersAreKnown = true

// peerOf returns the user that opened the other end of a unix socket. The kernel recorded it when the
// connection was made.
func peerOf(conn *net.UnixConn) (uid uint32, err error) {
	peer, err := credentialsOf(conn)
	if err != nil {
		return 0, err
	}
	return peer.Uid, nil
}

// Occupant reports whether another process listens at a unix socket, and which: 0 where it cannot be told, as across containers.
func Occupant(path string) (pid int, occupied bool) {
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	peer, err := credentialsOf(conn.(*net.UnixConn)) //nolint:forcetypeassert // of the network unix
	if err != nil {
		return 0, true
	}
	return int(peer.Pid), int(peer.Pid) != os.Getpid()
}

// dialTimeout is how long a process whose queue is full is waited for.
const dialTimeout = time.Second

func credentialsOf(conn *net.UnixConn) (credentials *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return credentials, failed
}
