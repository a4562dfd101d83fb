package main

import _ "github.com/caddy-erpsync/caddy-erpsync/history/sqlite"
