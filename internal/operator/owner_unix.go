//go:build unix

package operator

import (
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// ownerOf returns the user and the group that a file belongs to.
func ownerOf(info fs.FileInfo) (owner, group string, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", "", false
	}
	owner = nameOf(strconv.FormatUint(uint64(stat.Uid), 10), func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
	group = nameOf(strconv.FormatUint(uint64(stat.Gid), 10), func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
	return owner, group, true
}
