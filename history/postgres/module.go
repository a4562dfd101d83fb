// Package postgres keeps a history in PostgreSQL, which several gateways share. It is a Caddy module of its own, so that a
// Caddy without it has no client of a database in it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/history"
	"github.com/caddy-erpsync/caddy-erpsync/internal/secret"
)

func init() { caddy.RegisterModule(new(Postgres)) }

const (
	defaultSchema  = "erpsync"
	defaultTimeout = 5 * time.Second
	leastTimeout   = 100 * time.Millisecond
	defaultKeep    = 90 * 24 * time.Hour
	defaultMaxSize = 10 << 30
	leastMaxSize   = 16 << 20
	// skew is how far a gateway's clock may be from the database's without a warning.
	skew = 2 * time.Second
)

// Postgres keeps the history of calls in PostgreSQL, for one gateway or for several that share one history. The tables are
// in a schema of their own, which a gateway creates and brings up to date when it starts; the role needs no other right.
//
// A connection goes over TLS unless the server is on this machine or the DSN says sslmode=disable. A DSN that would go on
// without TLS in silence, as libpq's sslmode=prefer does, is refused.
type Postgres struct {
	// The DSN: a URL, or key=value pairs as libpq takes them, with several hosts for a failover. Required; {file./path} or
	// {env.NAME} if there is a password in it, which is read again for new connections.
	DSN string `json:"dsn"`

	// The schema of the tables. Default: erpsync.
	Schema string `json:"schema,omitempty"`

	// How long connecting, a statement or a transaction may take. Default: 5s; at least 100ms.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long rows are kept. Default: 90d.
	Keep caddy.Duration `json:"keep,omitempty"`

	// How large the history may become, in bytes of tables and indices: beyond that the oldest rows are removed, whatever
	// keep says. Default: 10 GiB; at least 16 MiB.
	MaxSize int64 `json:"max_size,omitempty"`

	config *pgx.ConnConfig
	now    func() (*pgx.ConnConfig, error)
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "erpsync.history.postgres", New: func() caddy.Module { return new(Postgres) }}
}

// Provision reads the DSN. It opens no connection.
func (p *Postgres) Provision(ctx caddy.Context) error {
	p.logger = ctx.Logger()
	if p.Schema == "" {
		p.Schema = defaultSchema
	}
	if p.DSN == "" {
		return errors.New("history postgres: option dsn is missing")
	}
	if writtenInPlain(p.DSN) {
		return fmt.Errorf("history postgres: dsn: %w", errPlain)
	}
	p.now = func() (*pgx.ConnConfig, error) { return parse(p.DSN) }
	text := func() string { return p.DSN }
	if strings.Contains(p.DSN, "{") {
		source, err := secret.OpenText("history postgres: dsn", p.DSN, p.logger)
		if err != nil {
			return err
		}
		text = func() string { return source.Get().Reveal() }
		p.now = func() (*pgx.ConnConfig, error) { return parse(text()) }
	}
	var err error
	if p.config, err = p.now(); err != nil {
		return fmt.Errorf("history postgres: dsn: %w", err)
	}
	warning, err := judge(text(), p.config)
	if err != nil {
		return fmt.Errorf("history postgres: dsn: %w", err)
	}
	if warning != "" {
		p.logger.Warn(warning)
	}
	return nil
}

// schemaName is what a schema may be called: what PostgreSQL keeps as it is written.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Validate refuses what cannot be right.
func (p *Postgres) Validate() error {
	switch {
	case !schemaName.MatchString(p.Schema) || strings.HasPrefix(p.Schema, "pg_"):
		return fmt.Errorf("schema %q: want a name of small letters, digits and _ that does not begin with pg_", p.Schema)
	case p.Timeout != 0 && time.Duration(p.Timeout) < leastTimeout:
		return fmt.Errorf("timeout %s: want at least %s", time.Duration(p.Timeout), leastTimeout)
	case p.Keep < 0:
		return errors.New("keep: must be positive")
	case p.MaxSize != 0 && p.MaxSize < leastMaxSize:
		return fmt.Errorf("max_size %d: want at least %d, 16 MiB", p.MaxSize, leastMaxSize)
	}
	return nil
}

// UnmarshalCaddyfile sets the module up from Caddyfile tokens:
//
//	postgres {
//		dsn       <dsn>
//		schema    <name>
//		timeout   <duration>
//		keep      <duration>
//		max_size  <size>
//	}
func (p *Postgres) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Err(`wrong arguments of "history postgres"; write: history postgres { dsn {file./path} … }`)
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("option %q specified more than once", name)
		}
		seen[name] = true
		var raw string
		if !d.AllArgs(&raw) {
			return d.Errf("option %q of history postgres takes one value; put one with spaces in quotes", name)
		}
		if err := p.set(d, name, raw); err != nil {
			return err
		}
	}
	if p.DSN == "" {
		return d.Err("history postgres: option dsn is missing; write: dsn {file./path} or dsn {env.NAME}")
	}
	return nil
}

func (p *Postgres) set(d *caddyfile.Dispenser, name, raw string) error {
	switch name {
	case "dsn":
		if writtenInPlain(raw) {
			return d.Errf("dsn: %v", errPlain)
		}
		p.DSN = raw
	case "schema":
		p.Schema = raw
	case "timeout", "keep":
		duration, err := caddy.ParseDuration(raw)
		if err != nil || duration <= 0 {
			return d.Errf("invalid duration %q: must be positive and have a unit, such as 5s or 90d", raw)
		}
		if name == "keep" {
			p.Keep = caddy.Duration(duration)
		} else {
			p.Timeout = caddy.Duration(duration)
		}
	case "max_size":
		size, err := humanize.ParseBytes(raw)
		if err != nil || size < leastMaxSize || size > math.MaxInt64 {
			return d.Errf("invalid size %q: must be 16MiB or more, such as 10GiB", raw)
		}
		p.MaxSize = int64(size)
	default:
		return d.Errf("unknown option %q of history postgres; want dsn, schema, timeout, keep or max_size", name)
	}
	return nil
}

// Key is history.Driver's.
func (p *Postgres) Key() string { return "postgres " + placeOf(p.config, p.Schema) }

// Open is history.Driver's.
func (p *Postgres) Open(ctx context.Context, gateway history.Gateway) (history.Store, error) {
	timeout := time.Duration(p.Timeout)
	if timeout == 0 {
		timeout = defaultTimeout
	}
	opened, err := open(ctx, p.config, p.now, p.Schema, timeout, gateway)
	if err != nil {
		return nil, fmt.Errorf("history %s: %w", p.Key(), err)
	}
	if ahead := opened.ahead; ahead.Abs() > skew {
		p.logger.Warn("this machine's clock is not the database's; what a call of another gateway has cured may be told wrong", zap.Duration("database_ahead", ahead))
	}
	return opened, nil
}

// Retention is history.Driver's.
func (p *Postgres) Retention() history.Retention {
	retention := history.Retention{Keep: time.Duration(p.Keep), MaxSize: p.MaxSize}
	if retention.Keep == 0 {
		retention.Keep = defaultKeep
	}
	if retention.MaxSize == 0 {
		retention.MaxSize = defaultMaxSize
	}
	return retention
}

var (
	_ caddy.Provisioner     = (*Postgres)(nil)
	_ caddy.Validator       = (*Postgres)(nil)
	_ caddyfile.Unmarshaler = (*Postgres)(nil)
	_ history.Driver        = (*Postgres)(nil)
)
