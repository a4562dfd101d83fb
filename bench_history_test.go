//go:build bench

package erpsync

// A history is no part of the module's root, so its tests have none; the gateways of bench keep one.
import _ "github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
