// Package webpage renders the gateway's pages for people: one layout, six languages, and the decision whether a
// request wants a page at all. It knows no gateway.
package webpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
)

// Page is what a person sees. Its words are in the locales under its name.
type Page struct {
	// Name is the page's name in the locales, such as "sign_in_declined".
	Name string
	// Status is the HTTP status.
	Status int
	// Facts stand in the page's sentences, as text and never as markup.
	Facts Facts
	// Links lead on. The first is the button.
	Links []Link
	// RequestID is printed as the reference for questions.
	RequestID string
	// Opener gets told the ending by the pop-up that shows the page, which then closes; nil: the page is no pop-up's.
	Opener *Opener
	// Framable lets other sites show the page in a frame. Only for a page that does nothing.
	Framable bool
}

// Facts are what sentences are about. No secret is among them.
type Facts struct {
	App       string
	Tenant    string // "" is rendered as "your company"
	User      string
	Until     string
	Granted   bool   // the registry names the tenant
	Suspended bool   // it does, as suspended
	Redirect  string // the address that SuperID sends browsers back to
	Code      string // SuperID's own, cleaned
}

// Link is where a person goes from a page.
type Link struct {
	// Label is one of the words of the locales, such as "again".
	Label string
	URL   string
	// NewWindow opens it beside the page, which stays.
	NewWindow bool
}

// Opener is the page that opened a pop-up.
type Opener struct {
	// Origin is the only one whose page is told.
	Origin string
	// Code is what a sign-in that succeeded hands over; "": it failed.
	Code string
	// Reason is the refusal's, of one that failed.
	Reason string
}

// message is what the opener is told: the code alone, or an object that says why there is none.
func (o *Opener) message(page *Page, title string, text []string) any {
	if o.Code != "" {
		return o.Code
	}
	return map[string]any{"ending": page.Name, "reason": o.Reason, "status": page.Status, "title": title, "detail": strings.Join(text, " ")}
}

//go:embed style.css
var style string

// handOver tells the opener, and no page of another origin. It is constant, so that the policy can name its digest.
const handOver = `(() => {
	const { message, origin } = document.currentScript.dataset;
	if (window.opener) window.opener.postMessage({ erpsync: JSON.parse(message) }, origin);
	window.close();
})();`

var layout = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{range .Text}}<p>{{.}}</p>
{{end}}{{with .Links}}<nav>
{{range $i, $link := .}}<a href="{{$link.URL}}"{{if eq $i 0}} class="button"{{end}}{{if $link.NewWindow}} target="_blank" rel="noopener"{{end}}>{{$link.Label}}</a>
{{end}}</nav>
{{end}}</main>
<footer>{{.Reference}}: <span>{{.ID}}</span></footer>
{{with .Opener}}<script data-message="{{.Message}}" data-origin="{{.Origin}}">{{.Script}}</script>
{{end}}</body>
</html>
`))

// policy is the page's Content-Security-Policy. Style and script are constant, so their digests admit them and nothing else.
func policy(script, framable bool) string {
	scripts, ancestors := "'none'", "'none'"
	if script {
		scripts = digest(handOver)
	}
	if framable {
		ancestors = "*"
	}
	return "default-src 'none'; style-src " + digest(style) + "; script-src " + scripts + "; frame-ancestors " + ancestors + "; base-uri 'none'; form-action 'none'"
}

func digest(inline string) string {
	sum := sha256.Sum256([]byte(inline))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write writes the page in the language that the request prefers. A page name that the locales lack is a
// programming error; it panics.
func Write(w http.ResponseWriter, r *http.Request, page Page) {
	locale := localeFor(r)
	title, text := locale.render(page.Name, page.Facts)
	shown := map[string]any{
		"Lang": locale.tag, "Title": title, "Text": text, "Links": locale.links(page.Links), "Reference": locale.Words["reference"], "ID": page.RequestID,
		"Style": template.CSS(style), //nolint:gosec // ours
	}
	if page.Opener != nil {
		message, err := json.Marshal(page.Opener.message(&page, title, text))
		if err != nil {
			panic(err) // strings and numbers always marshal
		}
		shown["Opener"] = map[string]any{"Message": string(message), "Origin": page.Opener.Origin, "Script": template.JS(handOver)} //nolint:gosec // ours
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", locale.tag)
	h.Set("Content-Security-Policy", policy(page.Opener != nil, page.Framable))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if page.Framable {
		h.Del("X-Frame-Options")
	}
	h.Add("Vary", vary+", Accept-Language")
	w.WriteHeader(page.Status)
	_ = layout.Execute(w, shown) // the browser left
}
