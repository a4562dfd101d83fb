package auditfile

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// encoders are Caddy's, as an operator may set them up.
func encoders(t *testing.T) map[string]zapcore.Encoder {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	all := map[string]zapcore.Encoder{}
	for name, config := range map[string]string{
		"json":               `{"format": "json"}`,
		"json, ISO time":     `{"format": "json", "time_format": "iso8601"}`,
		"json, own time":     `{"format": "json", "time_format": "Monday, 02 January 2006 15:04:05.000 -0700"}`,
		"json, other key":    `{"format": "json", "message_key": "message"}`,
		"json, level key":    `{"format": "json", "level_key": "severity"}`,
		"filter":             `{"format": "filter", "wrap": {"format": "json"}, "fields": {"client_ip": {"filter": "delete"}}}`,
		"append":             `{"format": "append", "wrap": {"format": "json"}, "fields": {"env": "test"}}`,
		"console":            `{"format": "console"}`,
		"filter, of console": `{"format": "filter", "wrap": {"format": "console"}, "fields": {"client_ip": {"filter": "delete"}}}`,
	} {
		var log struct {
			EncoderRaw json.RawMessage `caddy:"namespace=caddy.logging.encoders inline_key=format"`
		}
		log.EncoderRaw = json.RawMessage(config)
		module, err := ctx.LoadModule(&log, "EncoderRaw")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = module.(zapcore.Encoder)
	}
	return all
}

// forging is a call whose every text says that it is the end of one.
func forging() *outcome.Record {
	const forged = `x","msg":"erpsync call",` + `{"level":"info","ts":1,"logger":"` + outcome.AuditLogger + `","msg":"erpsync call",`
	return &outcome.Record{
		RequestID: forged, ClientIP: forged, App: forged, Tenant: forged, Principal: forged, Scheme: forged, Node: forged, Retries: forged,
		Started: time.Now(), Decision: "allowed", Status: 200,
	}
}

func TestOnlyTheEndOfACallMayWait(t *testing.T) {
	t.Parallel()
	waits := map[string]bool{"json": true, "json, ISO time": true, "json, own time": true, "filter": true, "append": true}
	for name, encoder := range encoders(t) {
		var last []byte
		taken := writerFunc(func(line []byte) (int, error) {
			last = append(last[:0], line...)
			return len(line), nil
		})
		logger := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(taken), zap.DebugLevel))
		audit := outcome.AuditLog{Logger: logger.Named(outcome.AuditLogger)}
		for message, write := range map[string]func(){
			outcome.EndedMessage:        func() { audit.Ended(forging()) },
			outcome.StartedMessage:      func() { audit.Began(forging()) },
			"erpsync endpoint refused":  func() { audit.EndpointRefused(&outcome.EndpointRefusal{Endpoint: `/","msg":"erpsync call",`}) },
			"erpsync signed out":        func() { audit.SignedOut(new(outcome.SignOut)) },
			"erpsync lookup":            func() { _ = audit.Lookup(&outcome.Lookup{RequestID: `","msg":"erpsync call",`}) },
			"erpsync console view":      func() { _ = audit.View(new(outcome.View)) },
			outcome.NoticeMessage:       func() { audit.TenantStatus(new(outcome.TenantStatus)) },
			"another logger's":          func() { outcome.AuditLog{Logger: logger.Named("http.log.access")}.Ended(forging()) },
			"another level":             func() { logger.Named(outcome.AuditLogger).Error(outcome.EndedMessage, zap.Int("x", 1)) },
			"a longer message":          func() { logger.Named(outcome.AuditLogger).Info(outcome.EndedMessage+" x", zap.Int("x", 1)) },
			"a message that forges one": func() { logger.Named(outcome.AuditLogger).Info(`","msg":"erpsync call",`) },
		} {
			last = nil
			write()
			if len(last) == 0 || !strings.HasSuffix(string(last), "\n") {
				t.Fatalf("%s, %s: no line: %q", name, message, last)
			}
			if want := waits[name] && message == outcome.EndedMessage; endsCall(last) != want {
				t.Errorf("%s, %s: waits %v: %s", name, message, !want, last)
			}
		}
	}
	for _, late := range []string{`,"app":"` + strings.Repeat("x", 200) + `"`, strings.Repeat(" ", 100)} {
		if line := ended("a"); endsCall([]byte(strings.Replace(line, `,"logger"`, late+`,"logger"`, 1))) || !endsCall([]byte(line)) {
			t.Error("a message that stands late makes a line wait")
		}
	}
	if endsCall(nil) || endsCall([]byte("\n")) || endsCall(endedHead) {
		t.Error("what is no line waits")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var (
	_ io.Writer = writerFunc(nil)
	_           = logging.JSONEncoder{} // registers the encoders
)
