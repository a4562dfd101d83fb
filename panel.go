package erpsync

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
)

// A web panel is an iframe in SuperOffice's client, on another site. SuperID
// refuses to be framed, so people sign in in a pop-up; but a cookie of the pop-up is not the
// iframe's (Chromium keeps them in different partitions). So the pop-up hands a code to the
// iframe, which swaps it for a session of its own.

const (
	// handOverLifetime is how long the code of a pop-up can be swapped.
	handOverLifetime = time.Minute

	handOverPurpose = "erpsync hand-over"
)

// panelScript is what a panel's page includes.
//
//go:embed panel.js
var panelScript []byte

// handOver is a session that waits for its iframe, sealed on the shelf under the code's digest.
type handOver struct {
	Challenge string `json:"c"` // digest of what only the iframe knows
	Cookie    string `json:"s"`
}

func handOverKey(code string) string { return auth.Key(handOverPurpose, code) }

// challenge checks a pop-up's challenge: the SHA-256 of a verifier that its iframe made, in base64url.
func challenge(raw string) (string, bool) {
	digest, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	return raw, err == nil && len(digest) == sha256.Size
}

// handOverPage tells the code to the page that opened the pop-up, and to no other.
var handOverPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signed in</title></head>
<body><p>You are signed in. This window closes by itself.</p>
<script nonce="{{.Nonce}}">
if (window.opener) window.opener.postMessage({ erpsync: {{.Code}} }, {{.Origin}});
window.close();
</script></body></html>`))

// handOver ends a sign-in in a pop-up: the session waits for the iframe that made the challenge.
func (b *Browser) handOver(w http.ResponseWriter, r *http.Request, a attempt, token session.Token) *auth.Refusal {
	code := newID() + newID()
	plain, err := json.Marshal(handOver{a.Panel, token.Cookie()})
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	key := handOverKey(code)
	if err := b.h.common.shelf.Lay(r.Context(), key, b.h.ring.Seal(handOverPurpose, []string{key}, plain), handOverLifetime); err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	nonce := newID()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; frame-ancestors 'none'; base-uri 'none'")
	if err := handOverPage.Execute(w, map[string]string{"Nonce": nonce, "Code": code, "Origin": a.Opener}); err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	return nil
}

// takeOver gives the iframe the session that its pop-up signed in.
func (b *Browser) takeOver(w http.ResponseWriter, r *http.Request) *auth.Refusal {
	if !b.h.origins.Admits(r) {
		return auth.Refuse(auth.CrossSite, nil)
	}
	var in struct {
		Code, Verifier string
		Panel          panelOf
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&in); err != nil {
		return b.h.endpoints.failed("The hand-over cannot be read.", err)
	}
	waiting, err := b.swap(r.Context(), in.Code)
	if errors.Is(err, session.ErrUnavailable) {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	digest := sha256.Sum256([]byte(in.Verifier))
	if err != nil || !auth.NewSecret(waiting.Challenge).Equal(base64.RawURLEncoding.EncodeToString(digest[:])) {
		return b.h.endpoints.failed("The code is not this panel's, was used already, or is older than a minute.", err)
	}
	token, err := b.sessions.Keys.Parse(waiting.Cookie)
	if err != nil {
		return b.h.endpoints.failed("The code is not this panel's.", err)
	}
	s, err := b.sessions.Load(r.Context(), token)
	if err != nil {
		return b.h.endpoints.failed("The session has ended.", err)
	}
	if refusal := in.Panel.check(s); refusal != nil {
		_ = b.sessions.End(r.Context(), token)
		return refusal
	}
	b.setSession(w, token)
	return b.tellSession(w, token, s)
}

// swap takes what waits under a code, once.
func (b *Browser) swap(ctx context.Context, code string) (waiting handOver, err error) {
	key := handOverKey(code)
	sealed, err := b.h.common.shelf.Take(ctx, key)
	if err != nil || sealed == "" {
		return waiting, errors.Join(err, errors.New("nothing waits under the code"))
	}
	// Of two who come with one code, the first has it.
	if first, err := b.h.common.shelf.LayNew(ctx, auth.Key(handOverPurpose, "used", code), "used", 2*handOverLifetime); err != nil || !first {
		return waiting, errors.Join(err, errors.New("the code was used"))
	}
	_ = b.h.common.shelf.Drop(ctx, key)
	plain, err := b.h.ring.Open(handOverPurpose, []string{key}, sealed)
	if err != nil {
		return waiting, err
	}
	return waiting, json.Unmarshal(plain, &waiting)
}

// panelOf is whom SuperOffice's client shows a panel to: the uctx and usid of its URL. "" says nothing.
type panelOf struct {
	UCTX string `json:"uctx"`
	USID string `json:"usid"`
}

// check compares with the session, so that a panel never shows one person what another may do.
func (p panelOf) check(s session.Session) *auth.Refusal {
	if p.UCTX != "" && p.UCTX != string(s.Tenant) || p.USID != "" && p.USID != strconv.Itoa(s.AssociateID) {
		return auth.Refuse(auth.PanelMismatch, nil)
	}
	return nil
}

func panelIn(query url.Values) panelOf { return panelOf{query.Get("uctx"), query.Get("usid")} }

// serveScript gives the script for a panel's page.
func (b *Browser) serveScript(w http.ResponseWriter, _ *http.Request) *auth.Refusal {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(panelScript)
	return nil
}
