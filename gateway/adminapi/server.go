package adminapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Server serves the routes at a unix socket. Anyone who may open the socket may do what the routes do, and nothing else
// of Caddy's admin API; who did it is the kernel's word.
type Server struct {
	http   *http.Server
	logger *zap.Logger
}

// Listen begins to serve at a listener, which it closes in the end.
func (a API) Listen(listener net.Listener, logger *zap.Logger) *Server {
	s := &Server{logger: logger}
	s.http = &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(logger),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if socket, ok := conn.(*net.UnixConn); ok {
				uid, err := peerOf(socket)
				if err == nil {
					return withPeer(ctx, uid)
				}
				logger.Error("the user at the other end of the operators' socket cannot be found out", zap.Error(err))
			}
			return ctx
		},
	}
	go func() { _ = s.http.Serve(listener) }()
	return s
}

// Stop closes the socket and waits for what is under way until ctx ends; then it is cut off.
func (s *Server) Stop(ctx context.Context) {
	if err := s.http.Shutdown(ctx); err != nil {
		s.logger.Warn("an operator's request was cut off", zap.Error(err))
		_ = s.http.Close()
	}
}

// Handler serves the routes alone, with errors as Caddy's admin endpoint writes them.
func (a API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range a.Routes() {
		mux.HandleFunc(route.Path, func(w http.ResponseWriter, r *http.Request) {
			if status, err := a.Serve(route, w, r); err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			}
		})
	}
	return mux
}
