package erpsync

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("erpsync", func(d *caddyfile.Dispenser, existing any) (any, error) {
		if existing != nil {
			return nil, d.Err("global option erpsync specified more than once")
		}
		service := new(Service)
		if err := service.UnmarshalCaddyfile(d); err != nil {
			return nil, err
		}
		return httpcaddyfile.App{Name: serviceID, Value: caddyconfig.JSON(service, nil)}, nil
	})
}

// UnmarshalCaddyfile sets the service up from the tokens of the global option:
//
//	erpsync {
//		operators  unix//<path>[|<mode>]
//		history    sqlite {
//			path      <path>
//			keep      <duration>
//			max_size  <size>
//		}
//		history    postgres {
//			dsn       <dsn>
//			schema    <name>
//			timeout   <duration>
//			keep      <duration>
//			max_size  <size>
//		}
//		notify {
//			webhook  <url> {
//				secret  <secret...>
//				trust   <ca-file>
//			}
//			after            <failures> [<duration>]
//			credential       <name> <yyyy-mm-dd>
//			credential_ends  <duration>
//			source           <uri>
//		}
//	}
func (s *Service) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return usage(d, "erpsync", "{ operators unix//<path>[|<mode>] … }")
	}
	return options(d, map[string]option{
		"operators": {usage: "unix//<path>[|<mode>]", once: true, read: func() error {
			if !d.AllArgs(&s.Operators) {
				return errUsage
			}
			if _, err := parseOperators(s.Operators); err != nil {
				return d.Err(err.Error())
			}
			return nil
		}},
		"history": {usage: "sqlite { path <path> … }, or history postgres { dsn {file./path} … }", once: true, read: func() error { return s.readHistory(d) }},
		"notify":  {usage: "{ webhook <url> … }", once: true, read: func() error { return s.readNotify(d) }},
	})
}

var _ caddyfile.Unmarshaler = (*Service)(nil)
