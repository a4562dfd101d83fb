package operator

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

// printGateways prints a line for each gateway of the store, if there are several or some could not be heard.
func printGateways(out io.Writer, s *report.Status, now time.Time) {
	if len(s.Gateways) < 2 && s.GatewaysUnknown == "" {
		return
	}
	versions := make(map[string]bool)
	for _, g := range s.Gateways {
		versions[g.Version+g.Revision] = true
	}
	mixed := ""
	if len(versions) > 1 {
		mixed = ", of different versions"
	}
	command.Fprintw(out, "", "%s%s", count(len(s.Gateways), "gateway"), mixed)
	for _, g := range s.Gateways {
		this := ""
		if g.This {
			this = ", this one"
		}
		command.Fprintw(out, "  ", "%s%s: started %s (%s ago), %s", gatewayName(g), this, g.Started.Local().Format(time.DateTime), age(now, g.Started), seenText(g))
	}
	if s.GatewaysUnknown != "" {
		command.Fprintw(out, "  ", "%s", command.Printable(s.GatewaysUnknown))
	}
	fmt.Fprintln(out)
}

func gatewayName(g report.GatewayStatus) string {
	name := fmt.Sprintf("%s (%s)", cmp.Or(g.Node, "a gateway without a name"), cmp.Or(g.Version, "unknown version"))
	return command.Printable(name)
}

// seenText says how long ago a gateway was heard.
func seenText(g report.GatewayStatus) string {
	silent := time.Duration(g.SilentSeconds * float64(time.Second)).Round(time.Second)
	if g.Alive {
		return fmt.Sprintf("seen %s ago", silent)
	}
	return fmt.Sprintf("silent for %s", silent)
}

// printEffect prints on how many gateways an order has taken effect. The error names those that have not said so.
func printEffect(out io.Writer, what string, effect report.Effect) error {
	all := len(effect.On) + len(effect.Missing)
	if all == 0 && effect.Unknown == "" { // an older gateway answered
		return nil
	}
	if effect.Unknown == "" {
		command.Fprintw(out, "  ", "in effect on %d of %s", len(effect.On), count(all, "gateway"))
	}
	switch {
	case effect.Unknown != "":
		return fmt.Errorf("%s: it is ordered, but nobody knows on how many gateways it has taken effect: %s", what, command.Printable(effect.Unknown))
	case len(effect.Missing) > 0:
		var names []string
		for _, g := range effect.Missing {
			names = append(names, gatewayName(g)+", "+seenText(g))
		}
		return fmt.Errorf("%s: not in effect on %s. A gateway that still runs takes it over once it reaches the store", what, strings.Join(names, "; "))
	}
	return nil
}
