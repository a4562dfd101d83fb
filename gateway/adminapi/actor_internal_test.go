package adminapi

import (
	"os"
	"os/user"
	"strconv"
	"testing"
)

func TestAPeerIsNamedUnlessItsNumberIsThatOfNobodyKnown(t *testing.T) {
	t.Parallel()
	if got := peer(overflowUID); got.Name != Unidentified || got.Proof != UnixPeer || got.UID == nil || *got.UID != overflowUID {
		t.Errorf("%+v", got)
	}
	const none = 4_000_000_123
	if got := peer(none); got.Name != "uid 4000000123" || *got.UID != none {
		t.Errorf("%+v", got)
	}
	self, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		t.Skip("this user has no name")
	}
	if got := peer(uint32(os.Getuid())); got.Name != self.Username {
		t.Errorf("%+v, want %s", got, self.Username)
	}
}
