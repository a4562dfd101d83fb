package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errDSN   = errors.New("is neither a URL, such as postgres://erpsync@db.example.com/erpsync?sslmode=verify-full, nor key=value pairs as libpq takes them")
	errPlain = errors.New("password written in plain text; use {file./path} or {env.NAME}")
)

var (
	passwordPair = regexp.MustCompile(`(?i)(?:^|[\s?&])(?:ssl)?password\s*=\s*([^\s&]*)`)
	passwordURL  = regexp.MustCompile(`^[a-z]+://[^/?#]*?:([^/?#]*)@`)
	modePair     = regexp.MustCompile(`(?i)(?:^|[\s?&])sslmode\s*=\s*'?disable\b`)
)

// writtenInPlain reports whether an option holds a password that is no placeholder.
func writtenInPlain(raw string) bool {
	for _, pattern := range []*regexp.Regexp{passwordPair, passwordURL} {
		for _, found := range pattern.FindAllStringSubmatch(raw, -1) {
			if password := strings.Trim(found[1], "'"); password != "" && !strings.Contains(password, "{") {
				return true
			}
		}
	}
	return false
}

// parse reads a DSN. Its errors hold nothing of it.
func parse(dsn string) (*pgx.ConnConfig, error) {
	dsn = strings.TrimSpace(dsn)
	if dsn == "" {
		return nil, errors.New("is empty")
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil { // which may quote what it could not read
		return nil, errDSN
	}
	if config.ValidateConnect == nil {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // a standby takes no rows
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "caddy-erpsync"
	}
	return config, nil
}

// host is one of those that a DSN names.
type host struct {
	name string
	port uint16
	tls  bool
	// verified reports whether the server proves who it is.
	verified bool
}

func hosts(config *pgx.ConnConfig) (all []host) {
	all = append(all, host{config.Host, config.Port, config.TLSConfig != nil, config.TLSConfig != nil && (!config.TLSConfig.InsecureSkipVerify || config.TLSConfig.VerifyPeerCertificate != nil)})
	for _, f := range config.Fallbacks {
		all = append(all, host{f.Host, f.Port, f.TLSConfig != nil, f.TLSConfig != nil && (!f.TLSConfig.InsecureSkipVerify || f.TLSConfig.VerifyPeerCertificate != nil)})
	}
	return all
}

// local reports whether a host is this machine: a socket's folder, or loopback.
func (h host) local() bool {
	if network, _ := pgconn.NetworkAddress(h.name, h.port); network == "unix" {
		return true
	}
	ip := net.ParseIP(h.name)
	return h.name == "localhost" || ip != nil && ip.IsLoopback()
}

// judge refuses a DSN by which a password and rows would go over a network without TLS though nobody said so, and returns a
// warning for what somebody said.
func judge(dsn string, config *pgx.ConnConfig) (warning string, err error) {
	for _, h := range hosts(config) {
		switch {
		case h.local(), h.verified:
		case h.tls && warning == "":
			warning = fmt.Sprintf("history postgres: the certificate of %s is not verified; write sslmode=verify-full", h.name)
		case h.tls:
		case modePair.MatchString(dsn):
			warning = fmt.Sprintf("history postgres: sslmode=disable: rows and the password reach %s without TLS; write sslmode=verify-full", h.name)
		default:
			return "", fmt.Errorf("would go on without TLS where %s has none; write sslmode=verify-full, or sslmode=disable if the network is to be trusted", h.name)
		}
	}
	return warning, nil
}

// placeOf names what a DSN means, without a password.
func placeOf(config *pgx.ConnConfig, schema string) string {
	var all []string
	for _, h := range hosts(config) {
		name := net.JoinHostPort(h.name, fmt.Sprint(h.port))
		if len(all) == 0 || all[len(all)-1] != name { // one host with and without TLS
			all = append(all, name)
		}
	}
	return strings.Join(all, ",") + "/" + url.PathEscape(config.Database) + "/" + schema
}
