package console

import (
	"context"
	"errors"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// untouched is a source that nobody may ask.
type untouched struct {
	Source
	t *testing.T
}

func (u untouched) PersonsHidden() bool { return true }

func (u untouched) History() (History, error) {
	u.t.Error("the history was asked")
	return nil, ErrNoHistory
}

func (u untouched) Find(context.Context, report.FindRequest) (report.Found, error) {
	u.t.Error("SuperOffice was asked")
	return report.Found{}, nil
}

// Pages ask in their own ways; whatever they ask, what a viewer may not see is not even read.
func TestTheGateAsksNobodyAboutATenantOfOthers(t *testing.T) {
	t.Parallel()
	c := New(Config{Source: untouched{t: t}})
	defer c.Close()
	limited := c.scope(&viewer{role: Operations, tenants: map[string]bool{"Cust1": true}})
	other := "Cust2"
	if _, err := limited.calls(t.Context(), CallFilter{Tenant: &other}); !errors.Is(err, errOutOfScope) {
		t.Errorf("calls: %v", err)
	}
	if _, err := limited.usage(t.Context(), UsageFilter{Tenant: &other}); !errors.Is(err, errOutOfScope) {
		t.Errorf("usage: %v", err)
	}
	if _, err := limited.find(t.Context(), report.FindRequest{Tenant: other}); !errors.Is(err, errOutOfScope) {
		t.Errorf("find: %v", err)
	}
	support := c.scope(&viewer{role: Support})
	if _, err := support.calls(t.Context(), CallFilter{Principals: []string{"tove"}}); !errors.Is(err, errPersonsHidden) {
		t.Errorf("calls by person: %v", err)
	}
}
