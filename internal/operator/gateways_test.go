package operator

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func TestEveryGatewayHasALineWithItsVersionItsStartAndItsLastSignOfLife(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one := report.GatewayStatus{Node: "one", Version: "v1", Started: now.Add(-3 * time.Hour), Alive: true, This: true, SilentSeconds: 1.2}
	two := report.GatewayStatus{Node: "two\x1b[2J", Version: "v2", Started: now.Add(-time.Minute), SilentSeconds: 60}
	started := func(g report.GatewayStatus) string { return g.Started.Local().Format(time.DateTime) }
	for name, c := range map[string]struct {
		status report.Status
		want   string
	}{
		"one":     {report.Status{Gateways: []report.GatewayStatus{one}}, ""},
		"several": {report.Status{Gateways: []report.GatewayStatus{one, two}}, "2 gateways, of different versions\n  one (v1), this one: started " + started(one) + " (3h ago), seen 1s ago\n  two?[2J (v2): started " + started(two) + " (1m ago), silent for 1m0s\n\n"},
		"unheard": {report.Status{Gateways: []report.GatewayStatus{one}, GatewaysUnknown: "not heard: two (v2): down"}, "1 gateway\n  one (v1), this one: started " + started(one) + " (3h ago), seen 1s ago\n  not heard: two (v2): down\n\n"},
	} {
		var out bytes.Buffer
		printGateways(&out, &c.status, now)
		if got := strings.ReplaceAll(out.String(), "\n    ", " "); got != c.want && !strings.Contains(c.want, "?[2J") || strings.Contains(got, "\x1b") || !strings.Contains(got, strings.SplitN(c.want, "\n", 2)[0]) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestAnOrderThatIsNotInEffectEverywhereIsNoSuccess(t *testing.T) {
	t.Parallel()
	one := report.GatewayStatus{Node: "one", Version: "v1", Alive: true}
	two := report.GatewayStatus{Node: "two", Version: "v1", SilentSeconds: 60}
	for name, c := range map[string]struct {
		effect    report.Effect
		out, fail string
	}{
		"everywhere":         {report.Effect{On: []report.GatewayStatus{one, two}}, "in effect on 2 of 2 gateways", ""},
		"not everywhere":     {report.Effect{On: []report.GatewayStatus{one}, Missing: []report.GatewayStatus{two}}, "in effect on 1 of 2 gateways", "hold: not in effect on two (v1), silent for 1m0s"},
		"nobody knows":       {report.Effect{Unknown: "down"}, "", "hold: it is ordered, but nobody knows on how many gateways it has taken effect: down"},
		"an older gateway's": {report.Effect{}, "", ""},
	} {
		var out bytes.Buffer
		err := printEffect(&out, "hold", c.effect)
		if strings.TrimSpace(out.String()) != c.out || (err == nil) != (c.fail == "") || err != nil && !strings.HasPrefix(err.Error(), c.fail) {
			t.Errorf("%s: %q %v", name, out.String(), err)
		}
	}
}
