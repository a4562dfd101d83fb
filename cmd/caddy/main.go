// Command caddy is Caddy with the erpsync handler and the SuperOffice sandbox
// built in. It serves the quick start and the tests. With the build tag nosandbox it
// holds the handler alone, as releases and builds by xcaddy do.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-erpsync/caddy-erpsync"
)

func main() { caddycmd.Main() }
