package main

import (
	_ "github.com/caddy-erpsync/caddy-erpsync/history/postgres"
	_ "github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
)
