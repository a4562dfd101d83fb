// Package auth decides who calls, what that principal may do, and as whom the
// gateway calls on. It knows SuperOffice's words and plain HTTP, not Caddy.
package auth
