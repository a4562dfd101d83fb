//go:build !nosandbox

package main

import _ "github.com/caddy-erpsync/caddy-erpsync/internal/demo"
