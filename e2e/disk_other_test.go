//go:build outage && !linux

package e2e

import (
	"errors"
	"testing"
)

func mountSmallDisk(*testing.T, string) error { return errors.New("this system has no tmpfs") }
