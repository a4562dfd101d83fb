package adminapi

import (
	"encoding/json"
	"net/http"
	"time"
)

// lineTimeout is how long a client may take to read a line, before it counts as gone.
const lineTimeout = 30 * time.Second

// serveStream answers with a line of JSON for each thing that happens. What fails before the first one is an answer as any.
func (a API) serveStream(route Route, w http.ResponseWriter, r *http.Request, done *act) (status int, err error) {
	lines := &lines{w: w, controller: http.NewResponseController(w), encoder: json.NewEncoder(w)}
	err = route.stream(r, done, lines.emit)
	a.record(*done, err)
	if err != nil && !lines.begun {
		return statusOf(err), err
	}
	if err != nil {
		_ = lines.emit(map[string]string{"error": err.Error()}) // who left is told nothing
	}
	return http.StatusOK, nil
}

// lines are an answer that goes on for as long as something happens.
type lines struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	encoder    *json.Encoder
	begun      bool
}

// emit sends a line at once. It fails if the client has left, or reads no more.
func (l *lines) emit(line any) error {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	_ = l.controller.SetWriteDeadline(time.Now().Add(lineTimeout))
	if err := l.encoder.Encode(line); err != nil {
		return err
	}
	return l.controller.Flush()
}
