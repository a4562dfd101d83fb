package build

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

const revision = "8a8d6db4fa1c31dbab7c5d0f20f6a0b5b0a5e6c1"

func TestABuildIsIdentifiedHoweverItWasMade(t *testing.T) {
	t.Parallel()
	vcs := []debug.BuildSetting{
		{Key: "-trimpath", Value: "true"},
		{Key: "vcs.revision", Value: revision},
		{Key: "vcs.time", Value: "2026-11-26T10:00:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	caddy := &debug.Module{Path: caddyPath, Version: "v2.11.9", Sum: "h1:caddy="}
	cases := map[string]struct {
		record debug.BuildInfo
		want   Info
	}{
		"main module at a tag": {
			debug.BuildInfo{Main: debug.Module{Path: Path, Version: "v1.2.3+dirty"}, Deps: []*debug.Module{caddy}, Settings: vcs},
			Info{Version: "v1.2.3+dirty", Revision: revision, Modified: true, Time: "2026-11-26T10:00:00Z", Caddy: "v2.11.9"},
		},
		"main module without version control": {
			debug.BuildInfo{Main: debug.Module{Path: Path, Version: Devel}, Deps: []*debug.Module{caddy}},
			Info{Version: Devel, Revision: Unknown, Caddy: "v2.11.9"},
		},
		"dependency at a tag, in somebody else's repository": {
			debug.BuildInfo{Main: debug.Module{Path: "caddy", Version: "v9.9.9"}, Deps: []*debug.Module{{Path: "github.com/caddy-erpsync/other", Version: "v7.0.0"}, {Path: Path, Version: "v1.2.3", Sum: "h1:ours="}, caddy}, Settings: vcs},
			Info{Version: "v1.2.3", Revision: Unknown, Sum: "h1:ours=", Caddy: "v2.11.9"},
		},
		"dependency at a pseudo-version": {
			debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddy, {Path: Path, Version: "v1.2.4-0.20261126100000-8a8d6db4fa1c", Sum: "h1:ours="}}},
			Info{Version: "v1.2.4-0.20261126100000-8a8d6db4fa1c", Revision: "8a8d6db4fa1c", Sum: "h1:ours=", Caddy: "v2.11.9"},
		},
		"dependency that a folder replaced": {
			debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddy, {Path: Path, Version: "v1.2.3", Replace: &debug.Module{Path: "/home/somebody/src"}}}, Settings: vcs},
			Info{Version: Devel, Revision: Unknown, Caddy: "v2.11.9"},
		},
		"dependency that a fork replaced": {
			debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{{Path: Path, Version: "v1.2.3", Sum: "h1:ours=", Replace: &debug.Module{Path: "example.com/fork", Version: "v0.0.0-20261126100000-aaaaaaaaaaaa", Sum: "h1:theirs="}}}},
			Info{Version: "v0.0.0-20261126100000-aaaaaaaaaaaa", Revision: "aaaaaaaaaaaa", Sum: "h1:theirs=", Caddy: Unknown},
		},
		"Caddy from a folder": {
			debug.BuildInfo{Main: debug.Module{Path: Path, Version: "v1.2.3"}, Deps: []*debug.Module{{Path: caddyPath, Version: "v2.0.0", Replace: &debug.Module{Path: "../caddy"}}}},
			Info{Version: "v1.2.3", Revision: Unknown, Caddy: Devel},
		},
		"no record": {debug.BuildInfo{}, Info{Version: Devel, Revision: Unknown, Caddy: Unknown}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.record.GoVersion = "go1.26.8"
			c.want.Go, c.want.Platform = "go1.26.8", runtime.GOOS+"/"+runtime.GOARCH
			if diff := cmp.Diff(c.want, from(&c.record)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBuildInfoIsRegisteredOnceForAllConfigurations(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	for range 2 {
		if err := Register(registry); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "caddy_erpsync_build_info" || len(families[0].GetMetric()) != 1 {
		t.Fatalf("%v: %v", err, families)
	}
	metric := families[0].GetMetric()[0]
	labels := map[string]string{}
	for _, pair := range metric.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	want := map[string]string{"version": Read().Version, "revision": Read().Revision}
	if diff := cmp.Diff(want, labels); diff != "" || metric.GetGauge().GetValue() != 1 {
		t.Errorf("%v %s", metric, diff)
	}
	// Another metric under its name is no earlier configuration's.
	other := prometheus.NewRegistry()
	other.MustRegister(prometheus.NewCounterVec(prometheus.CounterOpts{Name: "caddy_erpsync_build_info", Help: "other"}, []string{"x"}))
	if Register(other) == nil {
		t.Error("a clash went unnoticed")
	}
}
