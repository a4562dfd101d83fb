package webpage

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func request(header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = header
	return r
}

const (
	chrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

func TestAPersonSeesAPageAndAProgramNever(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"Chromium navigates":                  {http.Header{"Accept": {chrome}, "Sec-Fetch-Dest": {"document"}}, true},
		"a frame":                             {http.Header{"Accept": {chrome}, "Sec-Fetch-Dest": {"iframe"}}, true},
		"Firefox, whatever it is set to":      {http.Header{"Accept": {"*/*"}, "Sec-Fetch-Dest": {"document"}}, true},
		"Safari of 2022":                      {http.Header{"Accept": {firefox}}, true},
		"text/html alone":                     {http.Header{"Accept": {"text/html"}}, true},
		"a fetch that accepts HTML":           {http.Header{"Accept": {chrome}, "Sec-Fetch-Dest": {"empty"}}, false},
		"a fetch in several lines":            {http.Header{"Accept": {chrome}, "Sec-Fetch-Dest": {"document", "empty"}}, false},
		"an image":                            {http.Header{"Accept": {"image/avif,*/*"}, "Sec-Fetch-Dest": {"image"}}, false},
		"a script":                            {http.Header{"Accept": {"*/*"}, "Sec-Fetch-Dest": {"script"}}, false},
		"a destination that nobody knows":     {http.Header{"Accept": {chrome}, "Sec-Fetch-Dest": {"Document"}}, false},
		"curl":                                {http.Header{"Accept": {"*/*"}}, false},
		"nothing":                             {http.Header{}, false},
		"axios":                               {http.Header{"Accept": {"application/json, text/plain, */*"}}, false},
		"Java's HttpURLConnection":            {http.Header{"Accept": {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}}, false},
		"a program that prefers JSON":         {http.Header{"Accept": {"application/json, text/html;q=0.5, application/xhtml+xml"}}, false},
		"a program that takes both":           {http.Header{"Accept": {"text/html, application/xhtml+xml, application/problem+json"}}, false},
		"a program that prefers HTML":         {http.Header{"Accept": {"application/json;q=0.1, text/html"}}, true},
		"a program that refuses HTML":         {http.Header{"Accept": {"text/html;q=0, application/xhtml+xml"}}, false},
		"a weight that is none":               {http.Header{"Accept": {"text/html;q=high, application/xhtml+xml"}}, false},
		"a browser's Accept in two lines":     {http.Header{"Accept": {"text/html", "application/xhtml+xml"}}, true},
		"something endless that names a page": {http.Header{"Accept": {firefox + strings.Repeat(",a/b", 1000)}}, false},
	} {
		if got := Wanted(request(c.header)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !Framed(request(http.Header{"Sec-Fetch-Dest": {"iframe"}})) || Framed(request(http.Header{"Sec-Fetch-Dest": {"document"}})) || Framed(request(http.Header{})) || Framed(request(http.Header{"Sec-Fetch-Dest": {"empty"}})) {
		t.Error("frames are not told from windows")
	}
}

func TestPagesSpeakThePersonsLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "*": "en", "fr": "en", "en-GB,en;q=0.9": "en", "nb-NO,nb;q=0.9,en;q=0.5": "nb", "no": "nb", "nn": "nb", "nn-NO,nn;q=0.9": "nb", "nn,da;q=0.5": "nb",
		"da-DK": "da", "sv,en;q=0.8": "sv", "sv-FI": "sv", "de-CH,de;q=0.9": "de", "gsw,de;q=0.9": "de", "nl-BE": "nl", "fr,nl;q=0.5": "nl", "en;q=0.1,de;q=0.9": "de",
		"x;;;": "en", "de" + strings.Repeat(",en", 1000): "en",
	} {
		w := httptest.NewRecorder()
		Write(w, request(http.Header{"Accept-Language": {header}}), Page{Name: "not_found", Status: http.StatusNotFound, RequestID: "one"})
		if got := w.Header().Get("Content-Language"); got != want || !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("%.40q: %s, want %s", header, got, want)
		}
		if vary := strings.Join(w.Header()["Vary"], ", "); !strings.Contains(vary, "Accept-Language") || !strings.Contains(vary, "Sec-Fetch-Dest") {
			t.Errorf("Vary: %s", vary)
		}
	}
}

// TestEveryLanguageSaysTheSame holds that no language lacks a page, a paragraph, a word or a fact.
func TestEveryLanguageSaysTheSame(t *testing.T) {
	t.Parallel()
	facts := regexp.MustCompile(`\.(?:App|User|Until|Granted|Suspended|Redirect|Code)\b`)
	english := locales()["en"]
	if len(locales()) != 6 || len(english.Pages) < 40 {
		t.Fatalf("%d languages, %d pages", len(locales()), len(english.Pages))
	}
	for tag, l := range locales() {
		for word := range english.Words {
			if l.Words[word] == "" {
				t.Errorf("%s lacks the word %s", tag, word)
			}
		}
		if len(l.Words) != len(english.Words) || len(l.Pages) != len(english.Pages) {
			t.Errorf("%s has %d words and %d pages, English %d and %d", tag, len(l.Words), len(l.Pages), len(english.Words), len(english.Pages))
		}
		for name, want := range english.Pages {
			got := l.Pages[name]
			if len(got) != len(want) || len(got) < 2 {
				t.Errorf("%s: %s has %d texts, in English %d", tag, name, len(got), len(want))
				continue
			}
			of := func(texts []string) []string {
				found := facts.FindAllString(strings.Join(texts, " "), -1)
				slices.Sort(found)
				return slices.Compact(found)
			}
			if !slices.Equal(of(got), of(want)) {
				t.Errorf("%s: %s tells %v, in English %v", tag, name, of(got), of(want))
			}
			for i := range got {
				if tag != "en" && got[i] == want[i] && len(got[i]) > 12 {
					t.Errorf("%s: %s is English: %s", tag, name, got[i])
				}
			}
			// Every branch can be rendered, with everything known and with nothing.
			l.render(name, Facts{})
			l.render(name, Facts{App: "a", Tenant: "t", User: "u", Until: "e", Granted: true, Redirect: "r", Code: "c"})
		}
	}
}

func TestFactsStandInAPageAsTextAndNothingElseRuns(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	evil := `"><script>alert(1)</script>`
	Write(w, request(http.Header{}), Page{
		Name: "sign_in_failed", Status: http.StatusForbidden, RequestID: evil, Facts: Facts{Code: evil}, Opener: &Opener{Origin: "https://a.example/" + evil, Reason: evil},
		Links: []Link{{Label: "again", URL: "javascript:alert(1)"}, {Label: "start", URL: "/" + evil}},
	})
	body, csp := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if strings.Contains(body, "<script>alert") || strings.Contains(body, `href="javascript:`) || strings.Count(body, "<script") != 1 {
		t.Error(body)
	}
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") || w.Header().Get("X-Frame-Options") != "DENY" {
		t.Errorf("policy %s", csp)
	}
	for tag, directive := range map[string]string{"style": "style-src", "script": "script-src"} {
		inline := regexp.MustCompile(`(?s)<` + tag + `[^>]*>(.*?)</` + tag + `>`).FindStringSubmatch(body)
		if inline == nil || !strings.Contains(csp, directive+" "+digest(inline[1])+";") {
			t.Errorf("the policy does not admit the %s as it stands in the page: %s", tag, csp)
		}
	}
	plain := httptest.NewRecorder()
	Write(plain, request(http.Header{}), Page{Name: "not_found", Status: http.StatusNotFound})
	if csp := plain.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'none'") || strings.Contains(plain.Body.String(), "<script") {
		t.Errorf("a page that tells nobody runs a script: %s", csp)
	}
	framed := httptest.NewRecorder()
	Write(framed, request(http.Header{}), Page{Name: "in_frame", Status: http.StatusForbidden, Framable: true, Links: []Link{{Label: "open", URL: "/x", NewWindow: true}}})
	if h := framed.Header(); h.Get("X-Frame-Options") != "" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors *;") || !strings.Contains(framed.Body.String(), `target="_blank" rel="noopener"`) {
		t.Errorf("a page for frames: %v", h)
	}
}
