package console

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Role is how much of persons somebody sees.
type Role string

const (
	// Support sees no persons' names where the audit log hides them.
	Support Role = "support"
	// Operations sees all that there is.
	Operations Role = "operator"
)

// Operator is somebody who may open the console.
type Operator struct {
	// Name is compared exactly.
	Name string
	Role Role
	// Tenants are the only ones that they see; none: all.
	Tenants []superoffice.Tenant
}

// viewer is who looks.
type viewer struct {
	name    string // "" at this machine
	role    Role
	tenants map[string]bool // nil: all
	address string
}

// sees reports whether the viewer may see anything of a tenant.
func (v *viewer) sees(tenant string) bool { return v.tenants == nil || v.tenants[tenant] }

// limited reports whether the viewer sees some tenants only.
func (v *viewer) limited() bool { return v.tenants != nil }

// denial is why a request is not answered, in the words of its page.
type denial struct {
	status      int
	title, text string
}

// admit decides who looks. It is asked for each request, before anything is read.
func (c *Console) admit(r *http.Request) (*viewer, *denial) {
	if d := refuseEmbedding(r); d != nil {
		return nil, d
	}
	if c.config.User == nil {
		if why := refuseRemote(r); why != nil {
			return nil, &denial{http.StatusForbidden, "This console answers on this machine only", "It has no option user, so that it cannot know who you are, and " + why.Error() + "."}
		}
		return &viewer{role: Operations, address: r.RemoteAddr}, nil
	}
	name := c.config.User(r)
	if name == "" {
		return nil, &denial{http.StatusForbidden, "The console does not know who you are", "No name came with your request. Sign in first; if you are signed in, the site's authentication does not pass your name on."}
	}
	for _, o := range c.config.Operators {
		if o.Name != name {
			continue
		}
		v := &viewer{name: name, role: o.Role, address: r.RemoteAddr}
		if len(o.Tenants) > 0 {
			v.tenants = make(map[string]bool, len(o.Tenants))
			for _, tenant := range o.Tenants {
				v.tenants[string(tenant)] = true
			}
		}
		return v, nil
	}
	return nil, &denial{http.StatusForbidden, "You are not among this console's operators", "Ask the gateway's administrator to add you under operators, exactly as you are signed in."}
}

// refuseEmbedding refuses what another site's page loads: a frame, a script, an image. A link that a person follows is let in.
func refuseEmbedding(r *http.Request) *denial {
	site, dest := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Dest")
	framed := dest == "iframe" || dest == "frame" || dest == "embed" || dest == "object" || dest == "fencedframe"
	foreign := (site == "cross-site" || site == "same-site") && (r.Header.Get("Sec-Fetch-Mode") != "navigate" || dest != "document")
	if framed || foreign {
		return &denial{http.StatusForbidden, "Another site may not show this console", "Open it in a tab of its own."}
	}
	return nil
}

// forwardedHeaders are those that a proxy adds, in canonical form. X-Forwarded- counts as a prefix.
var forwardedHeaders = []string{"Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host"}

// refuseRemote reports why a request may come from beyond this machine: by its connection, by a proxy that passes it on, or by a name
// that somebody else's DNS leads here.
func refuseRemote(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	switch address := local.(type) {
	case *net.UnixAddr:
	case *net.TCPAddr:
		if !address.IP.IsLoopback() {
			return errors.New("your request came in at an address that others reach")
		}
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !peer.Addr().Unmap().IsLoopback() {
			return errors.New("your request came from another machine")
		}
	default: // HTTP/3 among them
		return errors.New("it is not known at which address your request came in")
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") {
			return fmt.Errorf("a proxy passed your request on (%s)", name)
		}
	}
	for _, name := range forwardedHeaders {
		if len(r.Header[name]) > 0 {
			return fmt.Errorf("a proxy passed your request on (%s)", name)
		}
	}
	if !ownHost(r.Host) {
		return errors.New("your request names another host than this machine")
	}
	return nil
}

// ownHost reports whether a Host names this machine and no name that DNS could lead here.
func ownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	return err == nil && ip.Unmap().IsLoopback()
}
