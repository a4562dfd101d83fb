package sqlite

import (
	"errors"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history"
)

func TestAFolderOnANetworkIsRefused(t *testing.T) {
	t.Parallel()
	for magic, refused := range map[uint32]bool{0x6969: true, 0xff534d42: true, 0xfe534d42: true, 0x01021997: true, 0xef53: false, 0x58465342: false, 0x01021994: false, fuseMagic: false} {
		if err := judge("/x", magic); errors.Is(err, history.ErrRefused) != refused {
			t.Errorf("%x: %v", magic, err)
		}
	}
	if err := checkFileSystem(t.TempDir()); err != nil {
		t.Error(err)
	}
}
