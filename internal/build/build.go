// Package build identifies the build that runs: the module's version and the revision it was made from.
package build

import (
	"cmp"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
)

// Path is the import path of the module.
const Path = "github.com/caddy-erpsync/caddy-erpsync"

const caddyPath = "github.com/caddyserver/caddy/v2"

const (
	// Devel is the version of a build from a folder that no tag names.
	Devel = "(devel)"
	// Unknown stands for what the binary does not record.
	Unknown = "unknown"
)

// Info identifies a build. No field is empty but Sum and Time.
type Info struct {
	// Version is the module's semantic version, a pseudo-version, or Devel.
	Version string `json:"version"`
	// Revision is the commit, in full where the binary records it in full and in twelve digits where
	// a pseudo-version is all there is. It is Unknown for a tagged version that xcaddy built: there
	// Version and Sum identify the source.
	Revision string `json:"revision"`
	// Modified reports whether files differed from Revision when the binary was built.
	Modified bool `json:"modified"`
	// Time is when Revision was committed.
	Time string `json:"time,omitempty"`
	// Sum is the module's hash, as go.sum and the checksum database have it. The main module has none.
	Sum string `json:"sum,omitempty"`
	// Caddy is the version of Caddy in the binary.
	Caddy string `json:"caddy"`
	Go    string `json:"go"`
	// Platform is GOOS/GOARCH.
	Platform string `json:"platform"`
}

// Read returns the identity of the running binary.
func Read() Info {
	record, ok := debug.ReadBuildInfo()
	if !ok {
		record = &debug.BuildInfo{}
	}
	return from(record)
}

// from reads the module out of a build record. The module is the main one in a build of cmd/caddy and a
// dependency in a build by xcaddy. Version control settings describe the main module alone: in a build
// by xcaddy, or of an operator's own main package, they are another repository's and are ignored.
func from(record *debug.BuildInfo) Info {
	info := Info{Go: cmp.Or(record.GoVersion, runtime.Version()), Platform: runtime.GOOS + "/" + runtime.GOARCH, Caddy: Unknown}
	if record.Main.Path == Path {
		info.Version = record.Main.Version
		for _, setting := range record.Settings {
			switch setting.Key {
			case "vcs.revision":
				info.Revision = setting.Value
			case "vcs.time":
				info.Time = setting.Value
			case "vcs.modified":
				info.Modified, _ = strconv.ParseBool(setting.Value)
			}
		}
	}
	for _, dep := range record.Deps {
		switch used := effective(dep); dep.Path {
		case Path:
			info.Version, info.Sum = used.Version, used.Sum
		case caddyPath:
			info.Caddy = cmp.Or(used.Version, Devel)
		}
	}
	if info.Version == "" {
		info.Version = Devel
	}
	if info.Revision == "" {
		info.Revision = pseudoRevision(info.Version)
	}
	return info
}

// effective returns what a module was replaced by, or the module itself. A module that a folder
// replaced has no version: the one it was required with names other source.
func effective(module *debug.Module) *debug.Module {
	if module.Replace != nil {
		return module.Replace
	}
	return module
}

// pseudo matches the end of a pseudo-version: a time and the first twelve digits of a revision.
var pseudo = regexp.MustCompile(`[-.]\d{14}-([0-9a-f]{12})(?:\+[\w.]+)?$`)

func pseudoRevision(version string) string {
	if found := pseudo.FindStringSubmatch(version); found != nil {
		return found[1]
	}
	return Unknown
}
