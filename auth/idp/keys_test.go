package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

const jwksURL = issuer + "/jwks"

// fresh is a token that is good now, in the time of a synctest bubble.
func (s signer) fresh(t testing.TB) string {
	t.Helper()
	return s.token(t, fmt.Sprintf(`{"iat":%d,"exp":%d,"jti":"%d"}`, time.Now().Unix(), time.Now().Add(100*time.Hour).Unix(), time.Now().UnixNano()))
}

func TestTwoHundredCallersAcrossAKeyRotationWaitForOneFetchAndNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, kids := range [][2]string{{"old", "new"}, {"", ""}} {
		t.Run(kids[1], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				old, fresh := newSigner(t, kids[0]), newSigner(t, kids[1])
				s := &server{delay: 200 * time.Millisecond}
				s.put(jwksURL, set(t, old))
				all := newSet(t, s, nil, Observer{}, block())
				if _, refusal := prove(all, old.fresh(t)); refusal != nil {
					t.Fatal(refusal)
				}
				time.Sleep(time.Minute)
				s.put(jwksURL, set(t, fresh))
				before, began := s.count(), time.Now()
				var callers sync.WaitGroup
				for i := range 200 {
					token := fresh.token(t, fmt.Sprintf(`{"iat":%d,"exp":%d,"jti":"%d"}`, time.Now().Unix(), time.Now().Add(time.Hour).Unix(), i))
					callers.Go(func() {
						time.Sleep(time.Duration(i) * 2 * time.Millisecond) // some come while it runs, some afterwards
						if _, refusal := prove(all, token); refusal != nil {
							t.Errorf("caller %d: %v", i, refusal)
						}
					})
				}
				callers.Wait()
				if n := s.count() - before; n != 1 {
					t.Errorf("%d fetches", n)
				}
				if took := time.Since(began); took > 400*time.Millisecond {
					t.Errorf("the last caller waited until %s", took)
				}
			})
		})
	}
}

// A caller that tried the old keys may ask for new ones after another has had them got.
func TestKeysThatAreNewAlreadyAreNotGotAgain(t *testing.T) {
	t.Parallel()
	old, fresh, s := newSigner(t, ""), newSigner(t, ""), new(server)
	s.put(jwksURL, set(t, fresh))
	keys := newSet(t, s, nil, Observer{}, block()).keys[0]
	if _, err := keys.Find(t.Context(), "", "ES256"); err != nil {
		t.Fatal(err)
	}
	if !keys.Renew(t.Context(), "ES256", []jwt.VerificationKey{&old.private.PublicKey}) {
		t.Error("the caller is told that there are no others")
	}
	if keys.Renew(t.Context(), "ES256", []jwt.VerificationKey{&fresh.private.PublicKey}) || s.count() != 1 {
		t.Errorf("told of others after %d fetches", s.count())
	}
}

func TestAnUnknownKidHasTheKeysFetchedOnceInTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, fresh := newSigner(t, "old"), newSigner(t, "new")
		s := new(server)
		s.put(jwksURL, set(t, old))
		all := newSet(t, s, nil, Observer{}, block())
		for range 50 {
			_, refusal := prove(all, fresh.fresh(t))
			refused(t, refusal, auth.CredentialInvalid, `kid "new" not found among the issuer's 1 keys`)
		}
		if s.count() != 1 {
			t.Errorf("%d fetches at once", s.count())
		}
		s.put(jwksURL, set(t, fresh))
		time.Sleep(9 * time.Second)
		_, refusal := prove(all, fresh.fresh(t))
		refused(t, refusal, auth.CredentialInvalid, "not found")
		time.Sleep(time.Second)
		if _, refusal := prove(all, fresh.fresh(t)); refusal != nil || s.count() != 2 {
			t.Errorf("%v after %d fetches", refusal, s.count())
		}
		_, refusal = prove(all, old.fresh(t))
		refused(t, refusal, auth.CredentialInvalid, `kid "old" not found`)
	})
}

func TestAKeyWithoutKidThatIsReplacedIsNoticedByItsSignature(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, fresh := newSigner(t, ""), newSigner(t, "")
		s := new(server)
		s.put(jwksURL, set(t, old))
		all := newSet(t, s, nil, Observer{}, block())
		if _, refusal := prove(all, old.fresh(t)); refusal != nil {
			t.Fatal(refusal)
		}
		s.put(jwksURL, set(t, fresh))
		_, refusal := prove(all, fresh.fresh(t))
		refused(t, refusal, auth.CredentialInvalid, "the signature is of none of the issuer's keys")
		time.Sleep(10 * time.Second)
		if _, refusal := prove(all, fresh.fresh(t)); refusal != nil || s.count() != 2 {
			t.Errorf("%v after %d fetches", refusal, s.count())
		}
	})
}

func TestTheLastValidKeysStayWhileNewerOnesCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"an empty set": `{"keys":[]}`, "a name twice": `{"keys":[],"keys":[]}`, "no set": `{}`, "null": `null`, "a page": "<!doctype html><title>Sign in</title>", "nothing": "",
		"half a set": `{"keys":[{"kty":"EC"`, "too much": `{"keys":[],"pad":"` + strings.Repeat("x", maxDocument) + `"}`,
		"keys for nothing": `{"keys":[{"kty":"oct","k":"AAAA","kid":"old"},{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}]}`,
		"a status":         "404",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				old, fresh := newSigner(t, "old"), newSigner(t, "new")
				s, o := new(server), new(told)
				s.put(jwksURL, set(t, old))
				all := newSet(t, s, nil, o.observer(), block())
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				all.Follow(ctx)
				if _, refusal := prove(all, old.fresh(t)); refusal != nil {
					t.Fatal(refusal)
				}
				got := time.Now()
				if s.put(jwksURL, answer); answer == "404" {
					s.drop(jwksURL)
				}
				time.Sleep(10 * time.Second)
				_, refusal := prove(all, fresh.fresh(t)) // an unknown kid finds it out
				refused(t, refusal, auth.ProofUnavailable, "the provider's keys cannot be had")
				if refusal.RetryAfter < time.Second || refusal.RetryAfter > 10*time.Second {
					t.Errorf("Retry-After %s", refusal.RetryAfter)
				}
				if o.seen().stale != 1 || o.seen().err == nil || o.seen().issuer != issuer || !o.seen().expires.Equal(o.seen().good.Add(24*time.Hour)) || o.seen().good.After(got) {
					t.Errorf("told %d times: %v, of %s until %s", o.seen().stale, o.seen().err, o.seen().good, o.seen().expires)
				}
				if _, refusal := prove(all, old.fresh(t)); refusal != nil {
					t.Errorf("a valid key is withheld: %v", refusal)
				}
				time.Sleep(30 * time.Minute)
				if _, refusal := prove(all, old.fresh(t)); refusal != nil {
					t.Errorf("after half an hour: %v", refusal)
				}
				// Tried every minute, told every quarter of an hour.
				if n := s.count(); n < 20 || n > 34 {
					t.Errorf("%d fetches in half an hour", n)
				}
				if n := o.seen().stale; n < 2 || n > 3 {
					t.Errorf("told %d times in half an hour", n)
				}
				s.put(jwksURL, set(t, fresh))
				time.Sleep(2 * time.Minute)
				if _, refusal := prove(all, fresh.fresh(t)); refusal != nil || o.seen().isStale || o.seen().usable != 1 {
					t.Errorf("not taken up again: %v", refusal)
				}
				stop()
				synctest.Wait()
			})
		})
	}
}

func TestTheLastValidKeysStayForADayOrAsTheOperatorSays(t *testing.T) {
	t.Parallel()
	for configured, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, 2 * time.Hour: 2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			key, s, o := newSigner(t, "one"), new(server), new(told)
			s.put(jwksURL, set(t, key))
			all := newSet(t, s, nil, o.observer(), block(func(c *Config) { c.MaxStale = configured }))
			if _, refusal := prove(all, key.fresh(t)); refusal != nil {
				t.Fatal(refusal)
			}
			s.drop(jwksURL)
			time.Sleep(want - time.Second)
			if _, refusal := prove(all, key.fresh(t)); refusal != nil {
				t.Errorf("%s: %v", configured, refusal)
			}
			time.Sleep(time.Second)
			_, refusal := prove(all, key.fresh(t))
			refused(t, refusal, auth.ProofUnavailable, "HTTP 404")
			if e := o.seen(); e.stale != 1 || e.expires.Sub(e.good) != want {
				t.Errorf("told %d times, of %s until %s", e.stale, e.good, e.expires)
			}
			s.put(jwksURL, set(t, key))
			time.Sleep(10 * time.Second)
			if _, refusal := prove(all, key.fresh(t)); refusal != nil {
				t.Error(refusal)
			}
		})
	}
}

func TestKeysThatWereNeverHadAreNoVerdictOnTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, s, o := newSigner(t, "one"), &server{delay: time.Hour}, new(told)
		all := newSet(t, s, nil, o.observer(), block())
		began := time.Now()
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				_, refusal := prove(all, key.fresh(t))
				refused(t, refusal, auth.ProofUnavailable, "")
			})
		}
		callers.Wait()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("they waited %s", took)
		}
		synctest.Wait()
		if o.seen().stale != 1 || !o.seen().good.IsZero() || o.seen().err == nil || !strings.Contains(o.seen().err.Error(), "no answer in 5s") {
			t.Errorf("told %d times: %v", o.seen().stale, o.seen().err)
		}
		// Within the ten seconds nobody waits again.
		_, refusal := prove(all, key.fresh(t))
		refused(t, refusal, auth.ProofUnavailable, "no answer in 5s")
		if refusal.RetryAfter != 5*time.Second || s.count() != 1 || time.Since(began) != 5*time.Second {
			t.Errorf("Retry-After %s after %d fetches", refusal.RetryAfter, s.count())
		}
		s.takes(0)
		s.put(jwksURL, set(t, key))
		time.Sleep(refusal.RetryAfter)
		if _, refusal := prove(all, key.fresh(t)); refusal != nil {
			t.Errorf("Retry-After was too short: %v", refusal)
		}
	})
}

func TestACallerThatLeavesEndsNobodysFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, s := newSigner(t, "one"), &server{delay: time.Second}
		s.put(jwksURL, set(t, key))
		all := newSet(t, s, nil, Observer{}, block())
		ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		began := time.Now()
		_, refusal := all.Prove(ctx, key.fresh(t), "Cust1")
		refused(t, refusal, auth.ProofUnavailable, "")
		if time.Since(began) != 100*time.Millisecond {
			t.Error("it waited on")
		}
		if _, refusal := prove(all, key.fresh(t)); refusal != nil || s.count() != 1 {
			t.Errorf("%v after %d fetches", refusal, s.count())
		}
	})
}

func TestKeysInUseAreRefreshedEveryHourAndOthersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, fresh := newSigner(t, "old"), newSigner(t, "new")
		s, o := new(server), new(told)
		s.put(jwksURL, set(t, old))
		all := newSet(t, s, nil, o.observer(), block())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		all.Follow(ctx)
		time.Sleep(24 * time.Hour)
		if s.count() != 0 {
			t.Error("keys were fetched that nobody needed")
		}
		if _, refusal := prove(all, old.fresh(t)); refusal != nil {
			t.Fatal(refusal)
		}
		s.put(jwksURL, set(t, fresh))
		time.Sleep(61 * time.Minute)
		if _, refusal := prove(all, fresh.fresh(t)); refusal != nil || s.count() != 2 || o.seen().loaded != 2 {
			t.Errorf("%v after %d fetches", refusal, s.count())
		}
		_, refusal := prove(all, old.fresh(t))
		refused(t, refusal, auth.CredentialInvalid, `kid "old" not found`)
		stop()
		synctest.Wait()
		before := s.count()
		time.Sleep(5 * time.Hour)
		if s.count() != before {
			t.Error("they are followed after the end")
		}
	})
}

func TestUnusableKeysAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	good := newSigner(t, "good")
	var fields map[string]any
	if err := json.Unmarshal([]byte(good.jwk(t)), &fields); err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		changed := map[string]any{"kid": "k"}
		for n, v := range fields {
			if n != "kid" {
				changed[n] = v
			}
		}
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
		raw, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	big := strings.Repeat("_", 342) // 2048 bits
	for raw, why := range map[string]string{
		`1`:                               "not a JSON object",
		`{}`:                              `kty ""`,
		`{"kty":"XX"}`:                    `kty "XX"`,
		`{"kty":1}`:                       `"kty" is of another type`,
		`{"kty":"oct","k":"c2VjcmV0"}`:    "it is secret",
		`{"KTY":"EC"}`:                    `kty ""`,
		`{"kty":"AKP","alg":"ML-DSA-44"}`: `kty "AKP"`,
		`{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`: "another kind than signatures need",
		`{"kty":"OKP","crv":"Ed448","x":"AA"}`:                               `crv "Ed448"`,
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`:                                "an RSA key of 17 bits, want 2048 to 8192",
		`{"kty":"RSA","n":"` + big + `","e":"Ag"}`:                           "its exponent is none",
		`{"kty":"RSA","n":"` + big + `","e":"AQ"}`:                           "its exponent is none",
		`{"kty":"RSA","n":"` + big + `","e":"AQAAAAE"}`:                      "its exponent is too large",
		`{"kty":"RSA","n":"` + big + big + big + big + big + `","e":"AQAB"}`: "an RSA key of",
		`{"kty":"RSA","n":"` + big + `","e":"AQAB","alg":"RSA-OAEP"}`:        `its alg "RSA-OAEP"`,
		with("use", "enc"):                "its use is",
		with("d", "c2VjcmV0"):             "it is secret",
		with("alg", "ES384"):              `its alg "ES384" is none of ES256`,
		with("alg", "HS256"):              `its alg "HS256"`,
		with("key_ops", []string{"sign"}): "its key_ops do not have verify",
		with("x", "AAAA"):                 "not a usable key",
		with("y", nil):                    "not a usable key",
		with("crv", "P-384"):              "not a usable key",
	} {
		keys, skipped, err := parseKeys([]byte(`{"keys":[` + raw + `,` + good.jwk(t) + `]}`))
		if err != nil || len(keys) != 1 || keys[0].id != "good" || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), why) {
			t.Errorf("%.60s: %d keys, %v %v, want %s", raw, len(keys), skipped, err, why)
		}
		if len(skipped) > 0 && strings.Contains(skipped[0].Error(), "c2VjcmV0") {
			t.Error("a secret is in the reason")
		}
	}
	for _, raw := range []string{
		with("alg", "ES256"), with("use", nil), with("key_ops", []string{"verify"}), with("x5c", []string{"no certificate"}), with("x5u", "http://evil.example"), with("unknown", map[string]any{"x": 1}),
	} {
		if keys, skipped, err := parseKeys([]byte(`{"more":1,"keys":[` + raw + `]}`)); err != nil || len(keys) != 1 || len(skipped) != 0 {
			t.Errorf("%s: %v %v", raw, skipped, err)
		}
	}
	// What was skipped reaches the observer.
	o, s := new(told), new(server)
	s.put(jwksURL, `{"keys":[{"kty":"XX","kid":"new"},`+good.jwk(t)+`]}`)
	all := newSet(t, s, func() time.Time { return issued }, o.observer(), block())
	if _, refusal := prove(all, good.token(t, "")); refusal != nil || o.seen().usable != 1 || len(o.seen().skipped) != 1 || !strings.Contains(o.seen().skipped[0].Error(), `key 1 (kid "new")`) {
		t.Errorf("%v: %d usable, skipped %v", refusal, o.seen().usable, o.seen().skipped)
	}
}

func TestATokenWithoutKidIsNotTriedAgainstAnyNumberOfKeys(t *testing.T) {
	t.Parallel()
	var signers []signer
	for i := range maxNameless + 1 {
		signers = append(signers, newSigner(t, fmt.Sprint(i)))
	}
	s := new(server)
	s.put(jwksURL, set(t, signers...))
	all := newSet(t, s, func() time.Time { return issued }, Observer{}, block())
	_, refusal := prove(all, signers[0].sign(t, `{"alg":"ES256"}`, payload(t, "")))
	refused(t, refusal, auth.CredentialInvalid, "there is no kid, and the issuer has 17 keys for ES256")
	if _, refusal := prove(all, signers[0].token(t, "")); refusal != nil {
		t.Error(refusal)
	}
}

func inFile(path string) func(*Config) { return func(c *Config) { c.JWKS = path } }

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFileOfKeysIsFollowedByItsContent(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), issued
	one, two := newSigner(t, "one"), newSigner(t, "two")
	path := filepath.Join(dir, "jwks.json")
	put(t, path, "\ufeff"+set(t, one))
	o := new(told)
	all := newSet(t, nil, func() time.Time { return now }, o.observer(), block(inFile(path)))
	good := func(key signer, step string) {
		t.Helper()
		if _, refusal := prove(all, key.token(t, fmt.Sprintf(`{"jti":%q}`, step))); refusal != nil {
			t.Errorf("%s: %v", step, refusal)
		}
	}
	gone := func(key signer, step string) {
		t.Helper()
		_, refusal := prove(all, key.token(t, fmt.Sprintf(`{"jti":%q}`, step)))
		refused(t, refusal, auth.CredentialInvalid, "not found")
	}
	good(one, "a byte order mark")

	// Another content of the same length and time.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "\ufeff"+set(t, two))
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	good(one, "within the second")
	now = now.Add(time.Second)
	gone(one, "the old key after a second")
	good(two, "the new key after a second")

	// What a Kubernetes volume does: the directory behind a link is swapped.
	for name, content := range map[string]string{"v1": set(t, one), "v2": set(t, two)} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "jwks.json"), content)
	}
	link := func(name string) {
		t.Helper()
		if err := os.Symlink(name, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("v1")
	all = newSet(t, nil, func() time.Time { return now }, o.observer(), block(inFile(filepath.Join(dir, "data", "jwks.json"))))
	good(one, "through a link")
	link("v2")
	now = now.Add(time.Second)
	good(two, "after the swap")

	// What breaks it leaves the last valid keys, for a day.
	for _, broken := range []string{"", "{}", `{"keys":[]}`, "x"} {
		put(t, filepath.Join(dir, "v2", "jwks.json"), broken)
		now = now.Add(time.Second)
		good(two, "broken: "+broken)
	}
	if o.seen().stale != 1 || !o.seen().isStale {
		t.Errorf("told %d times", o.seen().stale)
	}
	put(t, filepath.Join(dir, "v2", "jwks.json"), set(t, two))
	now = now.Add(time.Second)
	good(two, "mended with the same content")
	if o.seen().isStale {
		t.Error("not told that it is mended")
	}
	loaded := o.seen().loaded
	now = now.Add(time.Second)
	good(two, "unchanged")
	if o.seen().loaded != loaded {
		t.Error("told although nothing changed")
	}
	put(t, filepath.Join(dir, "v2", "jwks.json"), strings.Repeat(" ", maxDocument)+set(t, two))
	now = now.Add(24 * time.Hour)
	_, refusal := prove(all, two.token(t, fmt.Sprintf(`{"exp":%d}`, now.Add(time.Hour).Unix())))
	refused(t, refusal, auth.ProofUnavailable, "larger than")
}

func TestAFileOfKeysThatIsNoneFailsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "empty"), `{"keys":[]}`)
	put(t, filepath.Join(dir, "page"), `<html>`)
	for name, want := range map[string]string{"none": "none: no such file", "empty": "the JWK set is empty", "page": "not a JWK set: not valid JSON", ".": "not a regular file"} {
		_, err := NewSet([]Config{block(inFile(filepath.Join(dir, name)))}, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "jwt "+issuer+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestWithoutJWKSTheIssuerIsAskedAtFirstUse(t *testing.T) {
	t.Parallel()
	const configuration = issuer + "/.well-known/openid-configuration"
	document := func(iss, jwks string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"more":[]}`, iss, jwks) }
	discover := func(c *Config) { c.JWKS = "" }
	t.Run("found, kept and found again when it moves", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			key, fresh, s := newSigner(t, "one"), newSigner(t, "two"), new(server)
			s.put(configuration, document(issuer, "https://keys.example/a"))
			s.put("https://keys.example/a", set(t, key))
			all := newSet(t, s, nil, Observer{}, block(discover))
			if s.count() != 0 {
				t.Error("asked before the first use")
			}
			if _, refusal := prove(all, key.fresh(t)); refusal != nil || s.count() != 2 {
				t.Fatalf("%v after %d requests", refusal, s.count())
			}
			s.put("https://keys.example/a", set(t, fresh))
			time.Sleep(10 * time.Second)
			if _, refusal := prove(all, fresh.fresh(t)); refusal != nil || s.count() != 3 {
				t.Errorf("%v after %d requests", refusal, s.count())
			}
			s.drop("https://keys.example/a")
			s.put(configuration, document(issuer, "https://keys.example/b"))
			s.put("https://keys.example/b", set(t, key))
			time.Sleep(10 * time.Second)
			_, refusal := prove(all, key.fresh(t))
			refused(t, refusal, auth.ProofUnavailable, "HTTP 404")
			time.Sleep(10 * time.Second)
			if _, refusal := prove(all, key.fresh(t)); refusal != nil {
				t.Error(refusal)
			}
			before := s.count()
			time.Sleep(25 * time.Hour)
			if _, refusal := prove(all, key.fresh(t)); refusal != nil || s.count() != before+2 {
				t.Errorf("not asked again after a day: %v", refusal)
			}
		})
	})
	for name, c := range map[string]struct{ document, cause string }{
		"another issuer":        {document("https://idp.example/", "https://keys.example/a"), `is of the issuer "https://idp.example/", want exactly "https://idp.example"`},
		"no issuer":             {`{"jwks_uri":"https://keys.example/a"}`, `is of the issuer ""`},
		"its name in capitals":  {`{"ISSUER":"https://idp.example","jwks_uri":"https://keys.example/a"}`, `is of the issuer ""`},
		"keys over http":        {document(issuer, "http://keys.example/a"), "is not taken: want https"},
		"keys on loopback":      {document(issuer, "http://localhost/a"), "its jwks_uri is plain http"},
		"keys in a file":        {document(issuer, "file:///etc/passwd"), "is not taken: want https"},
		"keys of another user":  {document(issuer, "https://u:p@keys.example/a"), "is not taken"},
		"no keys":               {`{"issuer":"https://idp.example"}`, `its jwks_uri "" is not taken`},
		"a page":                {"<html>", "not valid JSON"},
		"nothing":               {"", "OpenID discovery"},
		"more than it may hold": {strings.Repeat(" ", maxDocument+1), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, s := newSigner(t, "one"), new(server)
			s.put(configuration, c.document)
			for _, url := range []string{"https://keys.example/a", "http://keys.example/a", "http://localhost/a"} {
				s.put(url, set(t, key))
			}
			all := newSet(t, s, func() time.Time { return issued }, Observer{}, block(discover))
			_, refusal := prove(all, key.token(t, ""))
			refused(t, refusal, auth.ProofUnavailable, c.cause)
			if n := s.count(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 4*maxDocument {
		return 0, errors.New("more was read than may be")
	}
	return len(p), nil
}

func (*endless) Close() error { return nil }

func TestAnAnswerWithoutAnEndIsReadUpToItsBound(t *testing.T) {
	t.Parallel()
	body := new(endless)
	client := func(http.RoundTripper) *http.Client { return &http.Client{Transport: answering{body}} }
	all, err := NewSet([]Config{block()}, Options{Client: client, Now: func() time.Time { return issued }})
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := prove(all, newSigner(t, "one").token(t, ""))
	refused(t, refusal, auth.ProofUnavailable, "the answer is larger than 1048576 bytes")
	if body.read > 2*maxDocument {
		t.Errorf("%d bytes were read", body.read)
	}
}

type answering struct{ body io.ReadCloser }

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: a.body, Request: r}, nil
}

func TestARedirectToOtherKeysIsNotFollowed(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "one")
	asked := 0
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path == "/jwks" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		fmt.Fprint(w, set(t, key))
	}))
	t.Cleanup(provider.Close)
	client := func(rt http.RoundTripper) *http.Client {
		return &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	all, err := NewSet([]Config{block(inFile(provider.URL + "/jwks"))}, Options{Transport: http.DefaultTransport, Client: client, Now: func() time.Time { return issued }})
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := prove(all, key.token(t, ""))
	refused(t, refusal, auth.ProofUnavailable, "HTTP 302")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestAnUnavailableErrorUnwraps(t *testing.T) {
	t.Parallel()
	cause := errors.New("down")
	if err := error(&UnavailableError{time.Second, cause}); !errors.Is(err, cause) {
		t.Error(err)
	}
}
