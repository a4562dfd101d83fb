package console

import (
	"context"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// Sites is the Source of the gateways in force in this process.
type Sites struct {
	*report.Sites
	// Node names the process.
	Node string
}

// Status is Source's.
func (s Sites) Status(ctx context.Context) (report.Status, error) {
	return s.Sites.Status(ctx, s.Node, "")
}

// History is Source's.
func (s Sites) History() (History, error) { return nil, ErrNoHistory }

var _ Source = Sites{}
