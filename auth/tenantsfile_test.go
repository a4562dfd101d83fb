package auth

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestATenantsFileThatEverybodyCanReadIsRefusedWheneverItBecomesThat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants.json")
	if err := os.WriteFile(path, []byte(`{"tenants":[{"tenant":"Cust1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} { // what only its owner can enter closes what lies in it
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Written long ago: nothing but its mode says that it has changed.
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o604, 0o644, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenTenantsFile(path); err == nil || !strings.Contains(err.Error(), "chmod o-r") {
			t.Errorf("%o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	file, err := OpenTenantsFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes := make(chan error)
	go file.Follow(ctx, func(err error) { changes <- err })
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-changes; err == nil || !strings.Contains(err.Error(), "chmod o-r") {
		t.Errorf("while it is followed: %v", err)
	}
	if _, granted := file.Tenant("Cust1"); !granted || file.Len() != 1 {
		t.Error("the last good one does not stay")
	}
	if err := os.WriteFile(path, []byte(`{"tenants":[{"tenant":"Cust2"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		if err := <-changes; err == nil {
			break
		}
	}
	if _, granted := file.Tenant("Cust2"); !granted || file.Len() != 1 {
		t.Error("the new one is not in force")
	}
}
