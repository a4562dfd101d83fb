package erpsync

import (
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-erpsync/caddy-erpsync/notify"
)

// writeSecret writes a webhook's secret and returns its placeholder.
func writeSecret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "{file." + path + "}"
}

var webhookSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("canary", 6)))

func TestAConfigurationOfNoticesThatCannotBeRightIsRefused(t *testing.T) {
	t.Parallel()
	secret := writeSecret(t, webhookSecret)
	for name, test := range map[string]struct {
		notify Notify
		says   string
	}{
		"no secret":            {Notify{Webhook: &Webhook{URL: "https://hooks.example/"}}, "notify: webhook: secret: is needed, so that the receiver knows who writes"},
		"a secret in plain":    {Notify{Webhook: &Webhook{URL: "https://hooks.example/", Secrets: []string{webhookSecret}}}, "notify: webhook: secret: secret written in plain text; use {file./path} or {env.NAME}"},
		"a secret of no form":  {Notify{Webhook: &Webhook{URL: "https://hooks.example/", Secrets: []string{writeSecret(t, "canary")}}}, "is not whsec_ and the secret in base64"},
		"three secrets":        {Notify{Webhook: &Webhook{URL: "https://hooks.example/", Secrets: []string{secret, secret, secret}}}, "notify: webhook: secret: 3 secrets: at most 2 sign"},
		"an address over http": {Notify{Webhook: &Webhook{URL: "http://hooks.example/", Secrets: []string{secret}}}, "notify: webhook: want https"},
		"a user in it":         {Notify{Webhook: &Webhook{URL: "https://canary:canary@hooks.example/", Secrets: []string{secret}}}, "notify: webhook: holds a user or password"},
		"a variable unset":     {Notify{Webhook: &Webhook{URL: "{env.ERPSYNC_NO_SUCH}", Secrets: []string{secret}}}, "notify: webhook:"},
		"no such authority":    {Notify{Webhook: &Webhook{URL: "https://hooks.example/", Secrets: []string{secret}, Trust: "/nowhere"}}, "notify: webhook: trust:"},
		"no day":               {Notify{Credentials: []Ending{{"s", "soon"}}}, `notify: credential s: invalid day "soon"`},
		"less than no failure": {Notify{Failures: -1}, "notify: after and credential_ends must be positive"},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		err := (&Service{Notify: &test.notify}).Provision(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %s", name, err, test.says)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func TestNoticesHaveDefaultsAndTheirOwnWayOut(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	settings, err := (&Notify{Webhook: &Webhook{URL: "https://hooks.example/", Secrets: []string{writeSecret(t, webhookSecret+"\n")}}, Credentials: []Ending{{"client secret", "2027-03-31"}}}).settings(zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	if settings.Failures != notify.DefaultFailures || settings.FailingFor != notify.DefaultFailingFor || settings.CredentialEnds != notify.DefaultCredentialEnds || !settings.Credentials[0].Ends.Equal(time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", settings)
	}
	transport, ok := settings.Webhook.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil || transport.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("%+v", settings.Webhook.Transport)
	}
	if settings.Webhook.Secrets[0].Get().Reveal() != webhookSecret || logs.Len() > 0 {
		t.Errorf("%d lines", logs.Len())
	}
}
