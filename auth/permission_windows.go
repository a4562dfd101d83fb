package auth

import "io/fs"

// ReadableByAll reports false. On Windows Go makes mode bits up from the read-only attribute, so every
// file would look readable by all. Access control lists decide there; docs/windows.md has the commands.
func ReadableByAll(string, fs.FileInfo) bool { return false }
