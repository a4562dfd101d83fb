// Command caddy is Caddy with the erpsync handler and the SuperOffice sandbox
// built in. It serves the quick start and the tests; production builds are made
// with xcaddy and hold the handler alone.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-erpsync/caddy-erpsync"
	_ "github.com/caddy-erpsync/caddy-erpsync/internal/demo"
)

func main() { caddycmd.Main() }
