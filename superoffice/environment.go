package superoffice

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Environment is one of SuperOffice's Online environments: the host that signs
// in and tells where tenants live, and the rule for which API hosts are its own.
type Environment struct {
	name    string
	base    string   // scheme://host[:port], no trailing slash
	domain  string   // API hosts are in this domain; empty for a custom base URL
	origins []string // API origins of a custom base URL
}

// NewEnvironment finds the environment called online, stage or sod, or makes one
// from a base URL (scheme, host and port alone). A custom base URL pins its
// own origin: tenants may live there and at the further origins given, nowhere
// else, and plain http is taken for it on loopback only.
func NewEnvironment(nameOrURL string, origins ...string) (Environment, error) {
	hosts := map[string]string{"online": "online", "stage": "qaonline", "sod": "sod"}
	if host, ok := hosts[nameOrURL]; ok {
		if len(origins) > 0 {
			return Environment{}, fmt.Errorf("environment %s has no further origins: they go with a base URL only", nameOrURL)
		}
		return Environment{name: nameOrURL, base: "https://" + host + ".superoffice.com", domain: ".superoffice.com"}, nil
	}
	env := Environment{name: "custom"}
	for i, raw := range append([]string{nameOrURL}, origins...) {
		origin, err := parseOrigin(raw)
		if err != nil {
			return Environment{}, err
		}
		if i == 0 {
			env.base = origin
		}
		env.origins = append(env.origins, origin)
	}
	return env, nil
}

func parseOrigin(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return "", fmt.Errorf("environment %q: want online, stage, sod or a base URL such as https://host", raw)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return "", fmt.Errorf("environment %q: want https; plain http is taken on loopback only", raw)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// Name is online, stage, sod or custom.
func (e Environment) Name() string { return e.name }

// Base is the environment's own origin, for example https://online.superoffice.com,
// which is the issuer of its id tokens too.
func (e Environment) Base() string { return e.base }

// IsZero reports whether no environment was chosen, as onsite.
func (e Environment) IsZero() bool { return e.base == "" }

// Trusts returns an error unless api may be the WebAPI of tenant: https on port 443 under
// the environment's own domain (or an origin that was listed for a custom base
// URL), with exactly the path /{tenant}/api. It returns that URL without a trailing slash;
// the error names what is wrong with it.
func (e Environment) Trusts(api string, tenant Tenant) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(api, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return "", fmt.Errorf("not the plain URL of a WebAPI: %q", api)
	}
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	if e.domain != "" {
		host := strings.ToLower(u.Hostname())
		if u.Scheme != "https" || (u.Port() != "" && u.Port() != "443") {
			return "", fmt.Errorf("not https on port 443: %q", api)
		}
		if !strings.HasSuffix(host, e.domain) || !isHostname(host) {
			return "", fmt.Errorf("not under %s: %q", strings.TrimPrefix(e.domain, "."), api)
		}
		origin = "https://" + host
	} else if !slices.Contains(e.origins, origin) {
		return "", fmt.Errorf("not an origin listed for the environment: %q", api)
	}
	path := "/" + string(tenant) + "/api"
	if tenant == Onsite || u.RawPath != "" || !strings.EqualFold(u.Path, path) {
		return "", fmt.Errorf("path is not %s: %q", path, api)
	}
	return origin + path, nil
}

// isHostname admits letters, digits, hyphens and dots alone, so that no other
// reader of the same string can find another host in it.
func isHostname(host string) bool {
	for _, c := range []byte(host) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return !strings.Contains(host, "..") && !strings.HasPrefix(host, ".")
}

func isLoopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "::1" || strings.HasPrefix(host, "127.") && net.ParseIP(host) != nil
}
