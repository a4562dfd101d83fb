package main

import (
	"fmt"
	"strings"
)

// proxyConfig is a plain reverse_proxy that sets what the gateway sets.
type proxyConfig struct {
	upstream string // a URL
	log      bool   // write an access log
}

func (c proxyConfig) caddyfile(r *room, name, site, admin string) string {
	log, transport := "", ""
	if c.log {
		log = r.accessLog(name)
	}
	if strings.HasPrefix(c.upstream, "https:") {
		transport = "transport http {\n\t\t\ttls_trust_pool file " + r.dir + "/upstream.pem\n\t\t}"
	}
	return strings.NewReplacer("{site}", site, "{admin}", admin, "{log}", log, "{upstream}", c.upstream, "{secret}", r.so.App("portal").ClientSecret, "{transport}", transport).Replace(`{
	admin {admin}
	persist_config off
	servers {
		protocols h1 h2c
	}
	log default {
		level ERROR
		exclude http.log.access
	}
}
{site} {
	bind 127.0.0.1
	{log}
	handle /other {
		respond 204
	}
	reverse_proxy {upstream} {
		header_up Authorization "Bearer 8A:Cust12345.x"
		header_up SO-AppToken "{secret}"
		{transport}
	}
}
`)
}

// gatewayConfig is a gateway with people, services and callers that bring their own.
type gatewayConfig struct {
	environment string // its base URL; "": the sandbox
	tenantsFile string // "": the sandbox's
	noAudit     bool   // write no audit lines
	log         bool   // write an access log too
	store       string // the option, "": memory
	history     string // a file of SQLite; "": none is kept
	transport   string // further options of transport http
	env         []string
}

func (c gatewayConfig) caddyfile(r *room, name, site, admin string) string {
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	// As Caddyfile.example has it.
	log, audit := "", fmt.Sprintf("output erpsync_file %s/%s-audit.log {\n\t\t\troll_size 100MiB\n\t\t\troll_keep 1000\n\t\t\troll_keep_for 2160h\n\t\t\tmode 0600\n\t\t}\n\t\tformat json", r.dir, name)
	if c.log {
		log = r.accessLog(name)
	}
	if c.noAudit {
		audit = "output discard\n\t\tlevel ERROR"
	}
	global := ""
	if c.history != "" {
		// As large as it becomes: removing rows is not what is measured.
		global = "erpsync {\n\t\thistory sqlite {\n\t\t\tpath " + c.history + "\n\t\t\tmax_size 64GiB\n\t\t}\n\t}"
	}
	return strings.NewReplacer("{site}", site, "{global}", global, "{log}", log, "{audit}", audit, "{dir}", r.dir, "{upstream}", r.upstream, "{upstream_tls}", r.upstreamTLS,
		"{environment}", or(c.environment, r.so.Base()), "{tenants}", or(c.tenantsFile, r.dir+"/tenants.json"), "{admin}", admin, "{store}", c.store, "{transport}", c.transport).Replace(`{
	admin {admin}
	persist_config off
	servers {
		protocols h1 h2c
	}
	{global}
	log audit {
		include http.handlers.erpsync.audit
		{audit}
	}
	log default {
		level ERROR
		exclude http.handlers.erpsync.audit http.log.access
	}
}
{site} {
	bind 127.0.0.1
	{log}
	erpsync {
		environment {environment} http://{upstream} https://{upstream_tls}
		app portal {
			client_id {file.{dir}/portal.client_id}
			client_secret {file.{dir}/portal.client_secret}
			agents ErpSync
			tenants file {tenants}
		}
		browser {
			app portal
		}
		app erp {
			client_id {file.{dir}/erp.client_id}
			client_secret {file.{dir}/erp.client_secret}
			private_key {file.{dir}/erp.private_key}
			agents ErpSync
			tenants file {tenants}
			call_as system
		}
		jwt https://idp.example {
			audience erpsync
			algorithms ES256
			jwks {dir}/jwks.json
			app erp
			tenant claim tenant
		}
		superoffice soticket {
			app portal
		}
		keys {file.{dir}/key}
		{store}
		guard {
			rate off
			in_flight connection off
			in_flight tenant off
			in_flight app off
		}
		transport http {
			tls_trust_pool file {dir}/upstream.pem
			{transport}
		}
	}
	handle /other {
		respond 204
	}
	error 404
}
`)
}

func (r *room) accessLog(name string) string {
	return fmt.Sprintf("log {\n\t\toutput file %s/%s-access.log\n\t}", r.dir, name)
}
