package erpsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/adminapi"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

func init() { caddy.RegisterModule(new(Service)) }

const serviceID = "erpsync"

// Service starts and stops what handlers do beside their calls: following files, noticing approvals,
// answering operators. Every erpsync handler brings it along; its own options are these.
//
// A configuration that is only validated, or whose provisioning fails, is never started, so
// that it takes nothing from the one in force.
type Service struct {
	// The unix socket at which operators' commands are answered, such as
	// unix//run/caddy/erpsync.sock or, for a group, unix//run/caddy/erpsync.sock|0660. Anyone who may open it may do
	// what `caddy erpsync` does and nothing else of Caddy's admin API, and the audit log names the
	// user of each act. Absent: Caddy's admin endpoint answers alone.
	Operators string `json:"operators,omitempty"`

	// Where every call of a proved caller is kept as a row: who, for which tenant and connection, the whole key set, and what
	// came of it. Rows are written in groups beside the calls and hold no call up; what cannot be written is counted. Of a
	// person they hold what the audit log of the site does. Absent: no history is kept.
	HistoryRaw json.RawMessage `json:"history,omitempty" caddy:"namespace=erpsync.history inline_key=driver"`

	// Who is told when a tenant's connection changes state: failing and well again, a consent that was withdrawn, a hold, a
	// suspension, a credential that ends. One gateway of a store tells for all. Absent: nobody is told.
	Notify *Notify `json:"notify,omitempty"`

	address  caddy.NetworkAddress
	history  *usedHistory // nil: none is kept
	notices  *usedNotices // nil: nobody is told
	mu       sync.Mutex
	handlers []*handlerRuntime
	stop     context.CancelFunc
	quiet    []func() // each ends the notices of a handler
}

// operators are the servers of the sockets in use, by address: a server that is shut down drops a request that it has
// just taken, so that one socket keeps its server over a reload.
var operators = caddy.NewUsagePool()

// operatorsServer is a server in the pool.
type operatorsServer struct{ *adminapi.Server }

// operatorsStopTimeout is how long an operator's request may go on once its configuration has ended: a
// check takes a minute at most.
const operatorsStopTimeout = time.Minute

// Destruct stops the server when no configuration has its socket any more.
func (s operatorsServer) Destruct() error {
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), operatorsStopTimeout)
		defer cancel()
		s.Stop(ctx)
	}
	if caddy.Exiting() {
		stop()
	} else {
		go stop()
	}
	return nil
}

// sites are those that the admin API reports on, of every configuration in force.
var sites report.Sites

// CaddyModule returns the Caddy module information.
func (*Service) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: serviceID, New: func() caddy.Module { return new(Service) }}
}

// Provision reads the address of the operators' socket, and takes the history, which Start opens.
func (s *Service) Provision(ctx caddy.Context) (err error) {
	if s.Operators != "" {
		if s.address, err = parseOperators(caddy.NewReplacer().ReplaceAll(s.Operators, "")); err != nil {
			return err
		}
	}
	if err := s.provisionNotices(ctx); err != nil {
		return err
	}
	return s.provisionHistory(ctx)
}

// Cleanup gives the history back.
func (s *Service) Cleanup() error {
	if s.history != nil {
		s.history.release()
		s.history = nil
	}
	return nil
}

// parseOperators reads the address of a socket that has a file, whose owner and mode say who may open it.
func parseOperators(raw string) (caddy.NetworkAddress, error) {
	address, err := caddy.ParseNetworkAddress(raw)
	switch {
	case err != nil:
		return address, fmt.Errorf("operators %q: %w", raw, err)
	case address.Network != "unix" || address.Host == "" || strings.HasPrefix(address.Host, "@"):
		return address, fmt.Errorf("operators %q: want a unix socket with a file, such as unix//run/caddy/erpsync.sock", raw)
	case !adminapi.PeersAreKnown:
		return address, errors.New("operators: this system does not name the user at the other end of a unix socket; use Caddy's admin endpoint")
	}
	return address, nil
}

func (s *Service) attach(handler *handlerRuntime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers = append(s.handlers, handler)
}

// Start puts the handlers in force. Caddy stops the configuration before it only afterwards.
func (s *Service) Start() error {
	for _, handler := range s.handlers {
		if err := handler.checkPlace(); err != nil {
			return err
		}
	}
	if err := s.history.open(); err != nil {
		return err
	}
	if s.Operators != "" {
		if err := s.listen(); err != nil {
			return fmt.Errorf("operators: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for _, handler := range s.handlers {
		handler.start(ctx)
	}
	for _, handler := range s.handlers { // once every tenant is known that a handler grants
		if handler.notify != nil {
			s.quiet = append(s.quiet, handler.notify())
		}
	}
	return nil
}

// listen takes the socket's server over from an earlier configuration, or begins one.
func (s *Service) listen() error {
	_, _, err := operators.LoadOrNew(s.key(), func() (caddy.Destructor, error) {
		path, _, _ := strings.Cut(s.address.Host, "|")
		if pid, occupied := adminapi.Occupant(path); occupied {
			caddy.Log().Named("erpsync.operators").Warn("another process listens at the operators' socket, which is taken from it; unless it is stopping, two gateways run here and may share a port",
				zap.String("socket", path), zap.Int("pid", pid))
		}
		listening, err := s.address.Listen(context.Background(), 0, net.ListenConfig{})
		if err != nil {
			return nil, err
		}
		listener, ok := listening.(net.Listener)
		if !ok {
			return nil, fmt.Errorf("%s is no stream socket", s.address)
		}
		return operatorsServer{adminAPI.Listen(listener, caddy.Log().Named("erpsync.operators"))}, nil // it outlives this configuration
	})
	return err
}

func (s *Service) key() string { return s.address.String() }

// Stop takes the handlers out of force. Calls in flight go on, and so does what an operator asked for.
func (s *Service) Stop() error {
	if s.stop == nil {
		return nil // it was refused
	}
	for _, quiet := range s.quiet {
		quiet()
	}
	s.stop()
	for _, handler := range s.handlers {
		sites.Remove(handler.site)
	}
	if s.Operators != "" {
		_, err := operators.Delete(s.key())
		return err
	}
	return nil
}

// start begins what ends with ctx.
func (r *handlerRuntime) start(ctx context.Context) {
	sites.Add(r.site)
	r.gateway.Start(ctx)
	r.probes.Start(ctx)
}

var (
	_ caddy.App          = (*Service)(nil)
	_ caddy.Provisioner  = (*Service)(nil)
	_ caddy.CleanerUpper = (*Service)(nil)
)
