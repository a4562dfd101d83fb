package sqlite

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

// networkFileSystems have no locks and no shared memory that SQLite could rely on, by the magic numbers of statfs(2).
var networkFileSystems = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9p", 0x00c36400: "Ceph", 0x0bd00bd0: "Lustre",
	0x5346414f: "AFS", 0x73757245: "Coda", 0x01161970: "GFS2", 0x7461636f: "OCFS2", 0x19830326: "BeeGFS", 0x47504653: "GPFS", 0x564c: "NCP", 0xbacbacbc: "vmhgfs",
}

// fuseMagic is any file system of a program: a local one, or a network behind it.
const fuseMagic = 0x65735546

// checkFileSystem refuses a folder on a network.
func checkFileSystem(folder string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return err
	}
	return judge(folder, uint32(stat.Type)) //nolint:gosec // magic numbers have 32 bits
}

func judge(folder string, magic uint32) error {
	if name, network := networkFileSystems[magic]; network {
		return fmt.Errorf("%w: %s lies on %s, and SQLite breaks there: name a folder on a local disk", history.ErrRefused, folder, name)
	}
	return nil
}

// onFUSE reports whether a folder lies on a file system of a program, of which nobody can tell what is behind it.
func onFUSE(folder string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(folder, &stat) == nil && uint32(stat.Type) == fuseMagic //nolint:gosec // magic numbers have 32 bits
}
