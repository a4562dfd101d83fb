package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth/roster"
)

// GatewayStatus is one gateway of a store. A version from before there was a roster is not listed.
type GatewayStatus struct {
	Node     string    `json:"node"`
	Version  string    `json:"version"`
	Revision string    `json:"revision,omitempty"`
	Started  time.Time `json:"started"`
	// Seen is its last sign of life and SilentSeconds how long ago that was, by the store's clock.
	Seen          time.Time `json:"seen"`
	SilentSeconds float64   `json:"silent_seconds"`
	// Alive says that it gave a sign of life within 12 s. While the store gives no answer, of this gateway alone.
	Alive bool `json:"alive"`
	// This says that it is the gateway that answers.
	This bool `json:"this,omitempty"`
	// Environment is where it calls, as that of its apps.
	Environment string `json:"environment,omitempty"`
}

// Effect is on which gateways an order has taken effect.
type Effect struct {
	On []GatewayStatus `json:"on"`
	// Missing are those that have not said so in time: dead, or cut off from the store.
	Missing []GatewayStatus `json:"missing,omitempty"`
	// Unknown is why the others could not be asked; "" where they were.
	Unknown string `json:"unknown,omitempty"`
}

// effectTimeout is how long an order's effect is waited for: a gateway gives a sign of life every three seconds.
const effectTimeout = 5 * time.Second

// stores returns the state of each store once, with a site that uses it.
func (s *Sites) stores() (all []*Site) {
	for _, site := range s.list() {
		if !slices.ContainsFunc(all, func(other *Site) bool { return other.State() == site.State() }) {
			all = append(all, site)
		}
	}
	slices.Reverse(all)
	return all
}

// gateways returns the gateways of every store. While a store gives no answer, this one, those that it knew last, and why.
func (s *Sites) gateways(ctx context.Context) (all []GatewayStatus, unknown string) {
	all = []GatewayStatus{}
	for _, site := range s.stores() {
		listed, err := site.State().Gateways(ctx)
		if err != nil {
			own := site.State().ThisGateway()
			own.Seen = time.Now()
			all = append(all, gatewayStatus(site, own))
			var unheard []string
			for _, g := range site.State().KnownGateways() {
				if g.ID != own.ID {
					unheard = append(unheard, gatewayLabel(g))
				}
			}
			slices.Sort(unheard)
			unknown = unheardText(unheard) + ": " + err.Error()
			continue
		}
		for _, g := range listed {
			all = append(all, gatewayStatus(site, g))
		}
	}
	return all, unknown
}

// exchange has the gateways of every store tell each other how tenants are, so that the answer is of now.
func (s *Sites) exchange(ctx context.Context) (err error) {
	for _, site := range s.stores() {
		err = errors.Join(err, site.State().ExchangeHealth(ctx))
	}
	return err
}

// unheardText names those that could not be heard. That none was known is not said to mean that there is none.
func unheardText(unheard []string) string {
	if len(unheard) == 0 {
		return "other gateways of the store, if there are any, could not be heard"
	}
	return fmt.Sprintf("not heard: %s", strings.Join(unheard, ", "))
}

func gatewayStatus(site *Site, g roster.Gateway) GatewayStatus {
	return GatewayStatus{
		Node: g.Node, Version: g.Version, Revision: g.Revision, Started: g.Started.UTC().Truncate(time.Second), Seen: g.Seen.UTC(), SilentSeconds: g.Silent.Round(time.Millisecond).Seconds(),
		Alive: g.Alive(), This: g.ID == site.State().ThisGateway().ID, Environment: site.EnvironmentLabel(),
	}
}

func gatewayLabel(g roster.Gateway) string {
	return fmt.Sprintf("%s (%s)", cmp.Or(g.Node, "a gateway without a name"), cmp.Or(g.Version, "unknown version"))
}

// gatewayTroubles are the gateways that have been silent for too long.
func gatewayTroubles(all []GatewayStatus) (found []Trouble) {
	for _, g := range all {
		if g.Alive {
			continue
		}
		found = append(found, Trouble{
			"gateway_silent", when(g.Seen), fmt.Sprintf("%s (%s), started %s", cmp.Or(g.Node, "a gateway without a name"), g.Version, g.Started.Format(time.RFC3339)),
			"it is dead, or cannot reach the store: then no hold reaches it, and its limits are its own", "look at it; one that was taken away is forgotten ten minutes after its last sign of life",
		})
	}
	return found
}

// heldEverywhere waits until the holds of a store are in force at all of its gateways.
func heldEverywhere(ctx context.Context, site *Site, effect *Effect) {
	version := site.State().Holds.Version()
	await(ctx, site, effect, func(g roster.Gateway) bool { return g.Holds >= version })
}

// revokedEverywhere waits until all gateways of a store have reached it since: each asks it for the epochs at every call.
func revokedEverywhere(ctx context.Context, site *Site, effect *Effect) {
	before, err := site.State().Gateways(ctx)
	if err != nil {
		effect.Unknown = unheardText(nil) + ": " + err.Error()
		return
	}
	seen := make(map[string]time.Time)
	for _, g := range before {
		seen[g.ID] = g.Seen
	}
	await(ctx, site, effect, func(g roster.Gateway) bool {
		then, was := seen[g.ID]
		return !was || g.Seen.After(then) // one that came later has never known anything else
	})
}

// await adds the gateways of a store to those that have done something, or not in time.
func await(ctx context.Context, site *Site, effect *Effect, done func(roster.Gateway) bool) {
	ctx, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	own := site.State().ThisGateway().ID
	does := func(g roster.Gateway) bool { return g.ID == own || done(g) }
	all, err := site.State().AwaitGateways(ctx, does)
	if err != nil {
		effect.Unknown = unheardText(nil) + ": " + err.Error()
		return
	}
	if !slices.ContainsFunc(all, func(g roster.Gateway) bool { return g.ID == own }) { // it has not noted itself yet
		self := site.State().ThisGateway()
		self.Seen = time.Now()
		all = append(all, self)
	}
	for _, g := range all {
		if does(g) {
			effect.On = append(effect.On, gatewayStatus(site, g))
		} else {
			effect.Missing = append(effect.Missing, gatewayStatus(site, g))
		}
	}
}

// everywhere waits for an order's effect at the gateways of all stores, within one time for all.
func (s *Sites) everywhere(ctx context.Context, wait func(context.Context, *Site, *Effect)) Effect {
	ctx, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	effect := Effect{On: []GatewayStatus{}}
	for _, site := range s.stores() {
		wait(ctx, site, &effect)
	}
	return effect
}
