package erpsync

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// locate returns a dispenser at the option of d's block that an error of validate is about, so that the error names the option's line
// and not that of the closing brace. Such an error begins with the options that lead to the mistake, as in
// `app erp: tenant Cust1: resync_all "yes": want …`. Where it names none, locate returns d as it was. It moves d behind the block.
func locate(d *caddyfile.Dispenser, about string) *caddyfile.Dispenser {
	at, exact := *d, false
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option, name := *d, d.Val()
		words := append([]string{name}, d.RemainingArgs()...)
		rest, ok := strings.CutPrefix(about, strings.Join(words[:min(2, len(words))], " ")+": ")
		if !ok {
			rest, ok = strings.CutPrefix(about, name+": ")
		}
		inner := locate(d, rest) // without a match it only skips the block
		switch {
		case ok: // of two with one name the second is too many
			at, exact = *inner, true
		case !exact && strings.HasPrefix(about, name+" "):
			at = option
		}
	}
	return &at
}
