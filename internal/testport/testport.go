// Package testport gives tests the ports of servers that are other processes, or that have to be away for a while.
package testport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Systems take the ports of connections, and those of listeners that name none, from above these: Linux from 32768, others from 49152.
// A port from there that is given back may be somebody's connection a moment later.
const first, last = 12_000, 32_000

// Take returns a TCP port at which nothing listens. No other test, of this process or another, is given it until this one has
// ended: the port next to it is held as the sign of that.
func Take(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := first + 2*rand.IntN((last-first)/2)
		sign, err := net.Listen("tcp", address(port+1))
		if err != nil {
			continue
		}
		if free(port) {
			t.Cleanup(func() { _ = sign.Close() })
			return port
		}
		_ = sign.Close()
	}
	t.Fatal("no port is free")
	return 0
}

// Address is Take as an address on loopback: at first one that refuses every connection.
func Address(t testing.TB) string {
	t.Helper()
	return address(Take(t))
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// free reports whether a server could listen at the port, on any of this machine's addresses.
func free(port int) bool {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
