package operator

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
)

// The operators' socket as Caddyfile.example has it in production: a fixed place, that nobody else can make.
const (
	socketName    = "erpsync.sock"
	defaultSocket = "unix//run/caddy/" + socketName
)

// addressOf returns where a gateway is asked: what the command line names, or else the environment, or else the
// example's socket where there is one, or else Caddy's own default.
func addressOf(named string, getenv func(string) string, exists func(path string) bool) string {
	if named != "" {
		return named
	}
	admin := getenv("CADDY_ADMIN")
	if folder := getenv("ERPSYNC_RUN"); folder != "" {
		if path := filepath.Join(folder, socketName); admin == "" || exists(path) { // a gateway without operators has admin alone
			return "unix/" + path
		}
	}
	if admin != "" {
		return admin
	}
	if exists(strings.TrimPrefix(defaultSocket, "unix/")) {
		return defaultSocket
	}
	return caddy.DefaultAdminListen
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist) // one that may not be seen is named in the error that follows
}

// place is where a gateway is asked.
type place struct {
	network, at string
	origin      string
}

func parsePlace(address string) (place, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return place{}, fmt.Errorf("address %q: want a unix socket such as %s, or host:port", address, defaultSocket)
	}
	if parsed.IsUnixNetwork() {
		path, _, _ := strings.Cut(parsed.Host, "|") // its mode, as the configuration writes it
		return place{"unix", path, "http://127.0.0.1"}, nil
	}
	return place{"tcp", parsed.JoinHostPort(0), "http://" + parsed.JoinHostPort(0)}, nil
}

// another says how to name another place.
const another = "name another with --address, ERPSYNC_RUN or CADDY_ADMIN (the global options operators and admin say where it listens)"

// unreachable says why nobody answered, and what to do about it.
func (p place) unreachable(err error) error {
	switch {
	case p.network == "tcp" && errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: start the gateway, or %s", p.at, another)
	case p.network == "tcp":
		return fmt.Errorf("the gateway at %s: %w", p.at, cause(err))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no socket %s: start the gateway, or %s", p.at, another)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at the socket %s any more: start the gateway, or %s", p.at, another)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the socket %s does not let you in: %s. Run the command as that user, or %s", p.at, whoMayOpen(p.at, os.Stat), another)
	}
	return fmt.Errorf("the gateway at %s: %w", p.at, cause(err))
}

// cause takes off what an HTTP client wraps around an error.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// whoMayOpen says who may open a socket, and who asks.
func whoMayOpen(path string, stat func(string) (fs.FileInfo, error)) string {
	me := "somebody else"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	what, right := "it is open to ", fs.FileMode(0o020)
	info, err := stat(path)
	for err != nil { // the first folder on the way that can be looked at is the one that is closed
		folder := filepath.Dir(path)
		if folder == path {
			return "its folder is closed to you, " + me
		}
		path, what, right = folder, "its folder "+folder+" is open to ", 0o010
		info, err = stat(path)
	}
	owner, group, known := ownerOf(info)
	if !known {
		return fmt.Sprintf("its mode is %#o, and you are %s", info.Mode().Perm(), me)
	}
	who := "user " + owner
	if info.Mode().Perm()&right != 0 {
		who += " and group " + group
	}
	return fmt.Sprintf("%s%s (mode %04o), and you are %s", what, who, info.Mode().Perm(), me)
}

// nameOf returns a name, or the number if it has none.
func nameOf(number string, find func(string) (string, error)) string {
	name, err := find(number)
	if err != nil {
		name = ""
	}
	return cmp.Or(name, number)
}
