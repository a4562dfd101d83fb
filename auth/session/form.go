package session

import (
	"encoding/binary"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// A number stands before a session's form. A session of another form than these has ended; those of the first,
// which had no Redirect, are read still, so that an upgrade signs nobody out.
const (
	firstForm  = 1
	formNumber = 2
)

// form writes what of a session lies under the seal, its secrets in clear: texts with their lengths, then
// numbers and times. It is read at every call, and as JSON that took a third of all that a session costs.
func (s Session) form() []byte {
	out := []byte{formNumber}
	for _, text := range []string{s.UPN, s.FullName, s.Access.Reveal(), s.Refresh.Reveal(), s.API, s.Redirect} {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	var administrator int64
	if s.Administrator {
		administrator = 1
	}
	for _, number := range []int64{int64(s.AssociateID), administrator, s.AccessIssued.UnixMicro(), s.AccessExpires.UnixMicro(), s.Created.UnixMicro()} {
		out = binary.AppendVarint(out, number)
	}
	return out
}

// readForm takes what form wrote, and reports whether it is that.
func (s *Session) readForm(raw []byte) bool {
	if len(raw) == 0 || raw[0] != formNumber && raw[0] != firstForm {
		return false
	}
	var access, refresh string
	var associate, administrator, issued, expires, created int64
	whole, at := string(raw), 1
	texts := []*string{&s.UPN, &s.FullName, &access, &refresh, &s.API, &s.Redirect}
	if raw[0] == firstForm {
		texts = texts[:5]
	}
	for _, text := range texts {
		size, n := binary.Uvarint(raw[at:])
		if n <= 0 || size > uint64(len(raw)-at-n) {
			return false
		}
		at += n
		*text = whole[at : at+int(size)]
		at += int(size)
	}
	for _, number := range []*int64{&associate, &administrator, &issued, &expires, &created} {
		value, n := binary.Varint(raw[at:])
		if n <= 0 {
			return false
		}
		*number = value
		at += n
	}
	s.Access, s.Refresh = auth.NewSecret(access), auth.NewSecret(refresh)
	s.AssociateID, s.Administrator = int(associate), administrator == 1
	s.AccessIssued, s.AccessExpires, s.Created = time.UnixMicro(issued), time.UnixMicro(expires), time.UnixMicro(created)
	return at == len(raw)
}
