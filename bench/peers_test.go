package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestEachValueOfAPeersConfigurationIsFilledIn(t *testing.T) {
	t.Parallel()
	r := &room{dir: "/tmp/room", upstream: "127.0.0.1:1"}
	files, err := peerConfigs.ReadDir("peerconfig")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"jwt.lua": true}
	for _, p := range peers {
		known[p.config] = true
	}
	for _, file := range files {
		if !known[file.Name()] {
			t.Errorf("no peer has %s", file.Name())
		}
		delete(known, file.Name())
		text, err := peerConfigs.ReadFile("peerconfig/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		filled := r.peerValues("peer-1", "127.0.0.1:2", "/usr/lib", "a secret").Replace(string(text))
		if left := regexp.MustCompile(`\{[a-z_]+\}`).FindString(filled); left != "" {
			t.Errorf("%s: %s is left", file.Name(), left)
		}
		if !strings.Contains(filled, "a secret") && strings.Contains(string(text), "JWT") && file.Name() != "nginx-lua.conf" {
			t.Errorf("%s verifies with another secret", file.Name())
		}
	}
	for name := range known {
		t.Errorf("there is no %s", name)
	}
}

func TestAPeerThatIsMissingIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, _, missing := findPeer(peer{program: "no-such-program"}); missing != "no-such-program" {
		t.Errorf("%q", missing)
	}
}
