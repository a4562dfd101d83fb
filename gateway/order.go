package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

// Order is a call as it was understood: all that is judged, and all that is sent.
type Order struct {
	Operation superoffice.Operation
	Arguments superoffice.Arguments
	Select    superoffice.Select
	// Header holds the caller's headers that travel.
	Header TravellingHeader
	// AnswerType is the media type to ask for where the caller accepts any: that of its own body, in which
	// SuperOffice would have answered.
	AnswerType string
	// Confirmed reports that a resync of everything is meant.
	Confirmed bool
	// DryRun asks what would be done, and does nothing; Ask asks SuperOffice too.
	DryRun, Ask bool
	// IdempotencyKey is the caller's; "" if it sent none. Fingerprint recognises the request that it belongs to.
	IdempotencyKey string
	Fingerprint    string
	// Async asks for an answer once the call has begun; its end is asked for later. Wait is how long the caller waits for
	// that all the same. Handle names a call that has no Idempotency-Key; "" for others.
	Async  bool
	Wait   time.Duration
	Handle string
}

// noted reports whether the call and its answer are noted for those who ask later.
func (o *Order) noted() bool { return o.Async || o.IdempotencyKey != "" && !o.DryRun }

// Headers as net/http writes and reads them: a name of another spelling is brought into this form at every use.
const (
	confirmHeader     = "Erpsync-Confirm"
	dryRunHeader      = "Erpsync-Dry-Run"
	idempotencyHeader = "Idempotency-Key"
)

// travellingHeaders are the caller's headers that travel: those of the vendor's
// documentation, and the one that its client adds. Everything else stays here.
var travellingHeaders = [...]string{
	"Accept", "Accept-Language", "So-Language", "So-Culture", "So-Timezone", "So-Browser-Tz-Offset",
}

// TravellingHeader holds at most one value of each header that travels.
type TravellingHeader [len(travellingHeaders)][]string

func newTravellingHeader(from http.Header) (h TravellingHeader) {
	for i, name := range travellingHeaders {
		if values := from[name]; len(values) > 0 {
			h[i] = values[:1:1]
		}
	}
	return h
}

// write sets the headers of a request to SuperOffice.
func (h *TravellingHeader) write(to http.Header) {
	for i, values := range h {
		if len(values) > 0 {
			to[travellingHeaders[i]] = values
		}
	}
}

// understand reads the query, and the body within its bounds and makes an order of the request, or refuses what is not certain.
func (x *exchange) understand() (*Order, *auth.Refusal) {
	if refusal := x.readQuery(); refusal != nil {
		return nil, refusal
	}
	body, refusal := x.readBody()
	if refusal != nil {
		return nil, refusal
	}
	arguments, refusal := x.readArguments(body)
	if refusal != nil {
		return nil, refusal
	}
	order := &Order{Operation: x.path.Operation, Arguments: arguments, Select: x.selected, AnswerType: superoffice.AnswerType(x.r.Header.Get("Content-Type"))}
	if refusal := order.readGuardHeaders(x.r.Header); refusal != nil {
		return nil, refusal
	}
	order.Header = newTravellingHeader(x.r.Header)
	order.readPreferences(x.r.Header, x.g.config.Async > 0)
	if order.IdempotencyKey != "" {
		order.Fingerprint = fingerprint(x.r.Header, x.selected, body)
	}
	return order, nil
}

// readQuery reads $select, which is all that a query may hold. Operations that take another query are not known by
// name here, so that nobody gets this far with one.
func (x *exchange) readQuery() *auth.Refusal {
	selected, err := superoffice.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		refusal := auth.Refuse(auth.QueryNotUnderstood, err)
		refusal.Detail += " (" + err.Error() + ")"
		return refusal
	}
	x.selected = selected
	if !x.g.config.KeepSelect {
		x.record.Widened = selected.Hides()
		x.selected = selected.Revealing()
	}
	return nil
}

func (x *exchange) readBody() ([]byte, *auth.Refusal) {
	return ReadBody(x.w, x.r, "max_body", x.g.config.MaxBody, x.g.config.BodyTimeout)
}

// ReadBody reads a body of at most limit bytes, which has to arrive within the timeout. bound names the limit in a refusal's cause.
func ReadBody(w http.ResponseWriter, r *http.Request, bound string, limit int64, timeout time.Duration) ([]byte, *auth.Refusal) {
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(time.Now().Add(timeout))
	announced := r.ContentLength
	if announced > limit {
		announced = -1
	}
	body, err := readWhole(http.MaxBytesReader(w, r.Body, limit), announced)
	if err == nil {
		// Otherwise the time stays over: the server would wait for the rest of the body before it lets the refusal go.
		_ = controller.SetReadDeadline(time.Time{})
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, auth.Refuse(auth.BodyTooLarge, fmt.Errorf("the body is longer than %s, %d bytes", bound, limit))
	}
	if err != nil {
		return nil, auth.Refuse(auth.BodyIncomplete, err)
	}
	return body, nil
}

// readWhole reads to the end. announced is how long the body should be, in bytes; less than zero if that is not known.
// A bytes.Buffer alone would allocate half a kilobyte more for each body, to look for its end.
func readWhole(from io.Reader, announced int64) ([]byte, error) {
	if announced < 0 {
		announced = bytes.MinRead - 1
	}
	first := make([]byte, announced+1)
	n, err := readFull(from, first)
	if err != nil { // nearly always io.EOF
		return first[:n], ended(err)
	}
	whole := bytes.NewBuffer(first)
	_, err = whole.ReadFrom(from)
	return whole.Bytes(), err
}

func (x *exchange) readArguments(body []byte) (superoffice.Arguments, *auth.Refusal) {
	arguments, err := superoffice.ReadArguments(x.path.Operation, x.r.Header, body)
	if err == nil {
		return arguments, nil
	}
	where, ok := errors.AsType[*superoffice.ArgumentError](err)
	if !ok {
		return arguments, auth.Refuse(auth.Internal, err)
	}
	refusal := auth.Refuse(auth.BodyNotUnderstood, err)
	if name, taken := where.Accepted(); name != "" {
		refusal = auth.Refuse(auth.MediaTypeUnsupported, err)
		x.w.Header().Set(name, taken)
	}
	refusal.Detail += " (" + where.Error() + ")"
	refusal.Pointer = where.Pointer
	return arguments, refusal
}

// readGuardHeaders reads the headers with which a caller guards itself. A word that is not
// understood is refused: who wants a dry run must not get a real one for a typing error.
func (o *Order) readGuardHeaders(header http.Header) *auth.Refusal {
	dry, confirm := header[dryRunHeader], header[confirmHeader]
	if len(dry) > 1 || len(confirm) > 1 {
		return auth.Refuse(auth.HeaderNotUnderstood, errors.New("a header occurs more than once"))
	}
	if len(confirm) == 1 {
		o.Confirmed = confirm[0] == "all"
		if !o.Confirmed {
			return auth.Refuse(auth.HeaderNotUnderstood, errors.New("ErpSync-Confirm is not all"))
		}
	}
	var refusal *auth.Refusal
	if o.IdempotencyKey, refusal = readIdempotencyKey(header); refusal != nil {
		return refusal
	}
	if len(dry) == 1 {
		o.Ask = dry[0] == "ask"
		o.DryRun = o.Ask || dry[0] == "true" || dry[0] == "?1" || dry[0] == "1"
		if !o.DryRun {
			return auth.Refuse(auth.HeaderNotUnderstood, errors.New("ErpSync-Dry-Run is not true"))
		}
	}
	return nil
}

// readIdempotencyKey returns the caller's key, "" if it sent none.
func readIdempotencyKey(header http.Header) (string, *auth.Refusal) {
	keys := header[idempotencyHeader]
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", auth.Refuse(auth.HeaderNotUnderstood, errors.New("a header occurs more than once"))
	case keys[0] == "" || len(keys[0]) > 255 || strings.ContainsFunc(keys[0], func(r rune) bool { return r < ' ' || r > '~' }):
		return "", auth.Refuse(auth.HeaderNotUnderstood, errors.New("Idempotency-Key is empty, longer than 255 bytes or not printable ASCII"))
	}
	return keys[0], nil
}

// fingerprint recognises a request: the caller's own bytes, so that a gateway which writes the call otherwise knows it
// again, and what decides the form of the answer.
func fingerprint(header http.Header, selected superoffice.Select, body []byte) string {
	sum := sha256.New()
	for _, part := range []string{header.Get("Content-Type"), header.Get("Accept"), selected.Query()} {
		sum.Write([]byte(strconv.Itoa(len(part)) + " " + part))
	}
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}
