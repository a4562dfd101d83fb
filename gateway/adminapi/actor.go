package adminapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os/user"
	"strconv"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// Proof is what shows who an actor is. The list is closed: it stands in audit lines.
type Proof string

const (
	// UnixPeer: the kernel named the user at the other end of a unix socket.
	UnixPeer Proof = "unix_peer"
	// ClientCertificate: TLS verified the certificate.
	ClientCertificate Proof = "client_certificate"
	// Unproved: nothing shows who it was.
	Unproved Proof = "none"
)

// Unidentified is the name of an actor that nothing shows.
const Unidentified = "unidentified"

// Actor is who asks for something over the admin API. Nothing that a client asserts about itself is in it.
type Actor struct {
	Name  string
	Proof Proof
	UID   *uint32 // of a unix user
}

// Identified reports whether something shows who the actor is.
func (a Actor) Identified() bool { return a.Proof != Unproved && a.Name != Unidentified }

// MarshalLogObject writes the actor's fields.
func (a Actor) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("actor", a.Name)
	enc.AddString("actor_proof", string(a.Proof))
	if a.UID != nil {
		enc.AddUint32("actor_uid", *a.UID)
	}
	return nil
}

// overflowUID is the user that Linux names where the peer's own has no number in this user namespace.
const overflowUID = 65534

// identified returns an error if nothing shows who the actor is.
func (a Actor) identified() error {
	if a.Identified() {
		return nil
	}
	return &report.Error{Status: http.StatusForbidden, Err: errors.New("nothing shows who asks, and what leaves the gateway needs a name: use the operators' socket (operators among the global options), or a client certificate")}
}

type peerKey struct{}

// withPeer keeps the user at the other end of a request's connection.
func withPeer(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, uid)
}

// ActorOf returns who sent a request.
func ActorOf(r *http.Request) Actor {
	if uid, ok := r.Context().Value(peerKey{}).(uint32); ok {
		return peer(uid)
	}
	// A chain that TLS did not verify is what the client asserts.
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		certificate := r.TLS.VerifiedChains[0][0]
		name := certificate.Subject.CommonName
		for _, names := range [][]string{certificate.DNSNames, certificate.EmailAddresses} {
			if name == "" && len(names) > 0 {
				name = names[0]
			}
		}
		if name == "" && len(certificate.URIs) > 0 {
			name = certificate.URIs[0].String()
		}
		return Actor{Name: cmp.Or(name, "serial "+certificate.SerialNumber.String()), Proof: ClientCertificate}
	}
	return Actor{Name: Unidentified, Proof: Unproved}
}

func peer(uid uint32) Actor {
	actor := Actor{Name: "uid " + strconv.FormatUint(uint64(uid), 10), Proof: UnixPeer, UID: &uid}
	if uid == overflowUID {
		actor.Name = Unidentified
	} else if known, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		actor.Name = known.Username
	}
	return actor
}
