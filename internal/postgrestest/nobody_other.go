//go:build !unix

package postgrestest

import (
	"os/exec"
	"testing"
)

func asNobody(testing.TB, *exec.Cmd) {}

func toNobody(testing.TB, string) {}
