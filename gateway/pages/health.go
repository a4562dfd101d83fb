package pages

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
)

// live answers that the process serves requests. It asks nothing and nobody.
func live(w http.ResponseWriter, _ *http.Request, _ gateway.Visit) *auth.Refusal {
	return plain(w, "live")
}

// ready answers whether a balancer should send calls here: not while the process is stopping, nor, where calls are
// refused then, while the store is away. That SuperOffice, an identity provider or a store that can be done without is
// away makes no difference, since another gateway would be no better off.
func (p *Pages) ready(w http.ResponseWriter, _ *http.Request, _ gateway.Visit) *auth.Refusal {
	if draining := p.gateway.Platform().Draining; draining != nil && draining() {
		return auth.Refuse(auth.Draining, errors.New("the process is stopping")).After(time.Second)
	}
	if health := p.gateway.State().StoreHealth(); p.gateway.Config().StrictStore && !(health.ReadsFail.IsZero() && health.WritesFail.IsZero()) {
		return auth.Refuse(auth.StoreUnavailable, health.Cause).After(time.Second)
	}
	return plain(w, "ready")
}

func plain(w http.ResponseWriter, text string) *auth.Refusal {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n")
	return nil
}
