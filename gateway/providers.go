package gateway

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// newProviders builds what proves the tokens of the partner's own identity providers.
func (g *Gateway) newProviders() (*idp.Set, error) {
	return idp.NewSet(g.config.Issuers, idp.Options{
		Transport: g.platform.Transport,
		Client: func(transport http.RoundTripper) *http.Client {
			return g.newAPIClient(g.platform.Metrics.Watch(outcome.IdentityProvider, transport))
		},
		Observer: idp.Observer{Loaded: g.keysLoaded, Stale: g.keysStale},
	})
}

// keysLoaded records that valid keys of an identity provider were got.
func (g *Gateway) keysLoaded(issuer string, usable int, skipped []error) {
	g.platform.Metrics.KeysLoaded(issuer, usable, len(skipped))
	if len(skipped) > 0 {
		g.platform.Logger.Warn("skipped keys of an identity provider that verify no signature here",
			zap.String("issuer", issuer), zap.Int("usable", usable), zap.Errors("skipped", skipped[:min(len(skipped), maxSkippedTold)]))
	}
}

// maxSkippedTold bounds how many skipped keys a log line names.
const maxSkippedTold = 5

// keysStale records that newer keys of an identity provider cannot be had.
func (g *Gateway) keysStale(issuer string, good, expires time.Time, err error) {
	g.platform.Metrics.KeysStale(issuer)
	logger := g.platform.Logger.With(zap.String("issuer", issuer), zap.Error(err))
	switch {
	case good.IsZero():
		logger.Error("no keys of an identity provider can be had; its tokens are refused with 503")
	case time.Now().After(expires):
		logger.Error("the last valid keys of an identity provider are too old; its tokens are refused with 503", zap.Time("of", good))
	default:
		logger.Warn("refreshing keys of an identity provider failed; keeping the last valid set", zap.Time("of", good), zap.Time("until", expires))
	}
}
