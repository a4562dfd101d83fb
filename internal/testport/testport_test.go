package testport

import (
	"net"
	"testing"
)

func TestAPortIsGivenToOneTestAndRefusesConnections(t *testing.T) {
	t.Parallel()
	taken := make(map[int]bool)
	for range 200 {
		port := Take(t)
		if taken[port] || port < first || port >= last {
			t.Errorf("%d", port)
		}
		taken[port] = true
	}
	for port := range taken {
		if conn, err := net.Dial("tcp", address(port)); err == nil {
			conn.Close()
			t.Errorf("%d takes connections", port)
		}
		// Another process looks at the port beside it, as this one does.
		if sign, err := net.Listen("tcp", address(port+1)); err == nil {
			sign.Close()
			t.Errorf("%d can be given to another test", port)
		}
	}
}
