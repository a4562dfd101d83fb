package pages

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/jws"
	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/gateway"
	"github.com/caddy-erpsync/caddy-erpsync/gateway/webpage"
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

// handoff is a session that waits for its iframe, sealed on the shelf under the code's digest.
type handoff struct {
	Challenge string `json:"c"` // digest of what only the iframe knows
	Cookie    string `json:"s"`
}

func handOverKey(code string) string { return auth.Key(handOverPurpose, code) }

// challenge checks a pop-up's challenge: the SHA-256 of a verifier that its iframe made, in base64url.
func challenge(raw string) (string, bool) {
	digest, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	return raw, err == nil && len(digest) == sha256.Size
}

// handOff ends a sign-in in a pop-up: the session waits for the iframe that made the challenge.
func (p *Pages) handOff(w http.ResponseWriter, r *http.Request, a loginState, token session.Token) *auth.Refusal {
	code := rand.Text() + rand.Text()
	plain, err := json.Marshal(handoff{a.Panel, token.Cookie()})
	if err != nil {
		return auth.Refuse(auth.Internal, err)
	}
	key := handOverKey(code)
	if err := p.gateway.State().KV.Set(r.Context(), key, p.keys.Seal(handOverPurpose, []string{key}, plain), handOverLifetime); err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	if !webpage.Wanted(r) {
		return gateway.WriteJSON(w, map[string]any{"erpsync": code})
	}
	webpage.Write(w, r, webpage.Page{
		Name: "signed_in", Status: http.StatusOK, RequestID: w.Header().Get(requestIDHeader), Opener: &webpage.Opener{Origin: a.Opener, Code: code},
	})
	return nil
}

// redeemHandoff gives the iframe the session that its pop-up signed in.
func (p *Pages) redeemHandoff(w http.ResponseWriter, r *http.Request, _ gateway.Visit) *auth.Refusal {
	if !p.gateway.Config().Origins.Admits(r) {
		return p.gateway.Config().Origins.Refuse(r)
	}
	var in struct {
		Code, Verifier string
		Panel          panelOf
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&in); err != nil {
		return p.refuse("The hand-over cannot be read.", err)
	}
	waiting, found, err := p.redeem(r.Context(), in.Code)
	if err != nil {
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	}
	digest := sha256.Sum256([]byte(in.Verifier))
	if !found || !auth.NewSecret(waiting.Challenge).Equal(base64.RawURLEncoding.EncodeToString(digest[:])) {
		return p.refuse("The code is not this panel's, was used already, or is older than a minute.", errors.New("no hand-over waits under the code, or its verifier is another"))
	}
	token, err := p.keys.Parse(waiting.Cookie)
	if err != nil {
		return p.refuse("The code is not this panel's.", err)
	}
	s, found, err := p.sessions.Manager.Load(r.Context(), token)
	switch {
	case err != nil:
		return auth.Refuse(auth.SessionUnavailable, err).After(time.Second)
	case !found:
		return p.refuse("The session has ended.", session.ErrNotFound)
	}
	if refusal := in.Panel.check(s); refusal != nil {
		_ = p.sessions.Manager.End(r.Context(), token)
		return refusal
	}
	p.setSession(w, token)
	return p.writeSession(w, token, s)
}

// redeem returns what waits under a code, once. found is false if nothing does, or did; an error means that the store
// gave no answer.
func (p *Pages) redeem(ctx context.Context, code string) (waiting handoff, found bool, err error) {
	key, kv := handOverKey(code), p.gateway.State().KV
	sealed, found, err := kv.Get(ctx, key)
	if err != nil || !found {
		return waiting, false, err
	}
	// Of two who come with one code, the first has it.
	if first, err := kv.SetNX(ctx, auth.Key(handOverPurpose, "used", code), "used", 2*handOverLifetime); err != nil || !first {
		return waiting, false, err
	}
	_ = kv.Delete(ctx, key)
	plain, err := p.keys.Open(handOverPurpose, []string{key}, sealed)
	if err != nil || json.Unmarshal(plain, &waiting) != nil {
		return waiting, false, nil // not of this gateway's keys
	}
	return waiting, true, nil
}

// panelOf is whom SuperOffice's client shows a panel to: the uctx and usid of its URL. "" says nothing.
type panelOf struct {
	UCTX string `json:"uctx"`
	USID string `json:"usid"`
}

// check compares with the session, so that a panel never shows one person what another may do.
func (p panelOf) check(s session.Session) *auth.Refusal {
	if p.UCTX != "" && p.UCTX != string(s.Tenant) {
		return auth.Refuse(auth.PanelMismatch, fmt.Errorf("uctx is %s, the session is in %s", jws.Excerpt(p.UCTX), s.Tenant))
	}
	if p.USID != "" && p.USID != strconv.Itoa(s.AssociateID) {
		return auth.Refuse(auth.PanelMismatch, fmt.Errorf("usid is %s, the session is of another person", jws.Excerpt(p.USID)))
	}
	return nil
}

func panelIn(query url.Values) panelOf { return panelOf{query.Get("uctx"), query.Get("usid")} }

// servePanelScript serves the script for a panel's page.
func servePanelScript(w http.ResponseWriter, _ *http.Request, _ gateway.Visit) *auth.Refusal {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(panelScript)
	return nil
}
