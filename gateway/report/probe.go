package report

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/probe"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Probe begins to find out what SuperOffice does where nothing is documented.
func (s *Sites) Probe(request ProbeRequest) (Probe, error) {
	app, err := s.find(request.App, request.Environment)
	if err != nil {
		return Probe{}, err
	}
	tenant, ok := superoffice.ParseTenant(request.Tenant)
	switch grant, granted := app.Registry.Tenant(tenant); {
	case !app.site.Online():
		return Probe{}, errors.New("an onsite installation has no SuperID, which is what a probe is about")
	case !ok:
		return Probe{}, errTenantForm(request.Tenant)
	case !granted:
		return Probe{}, reasoned(auth.TenantNotGranted)
	case grant.Suspended:
		return Probe{}, reasoned(auth.TenantSuspended)
	case app.site.Probes == nil:
		return Probe{}, probe.ErrNotInForce
	}
	begun, err := app.site.Probes.Begin(app.App, tenant, probe.Options{WaitForExpiry: request.WaitForExpiry})
	switch {
	case errors.Is(err, probe.ErrTooMany):
		return Probe{}, &Error{http.StatusTooManyRequests, err}
	case errors.Is(err, probe.ErrNotInForce):
		return Probe{}, unavailable(err)
	case err != nil:
		return Probe{}, err
	}
	return Probe{ID: begun.ID, Address: app.site.Config().Links.Probe(begun.Key), Until: begun.Until}, nil
}

// reasoned is an error that callers know by its reason.
func reasoned(reason auth.Reason) error { return errors.New(string(reason) + ": " + reason.Remedy()) }

// Probed returns how a probe is, within seconds. A client that does not ask for half a minute ends it.
func (s *Sites) Probed(ctx context.Context, id string) (Probed, error) {
	for _, site := range s.list() {
		if site.Probes == nil {
			continue
		}
		result, err := site.Probes.Result(ctx, id)
		if err != nil {
			continue // it may be another site's
		}
		probed := Probed{Stage: string(result.Stage), Until: result.Until, Report: result.Report}
		if result.Err != nil {
			probed.Error = result.Err.Error()
		}
		return probed, nil
	}
	return Probed{}, &Error{http.StatusNotFound, probe.ErrUnknown}
}
