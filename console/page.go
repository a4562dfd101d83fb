package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// asset is a file that every page loads, under a name that changes with its contents.
type asset struct {
	name, contentType string
	body              []byte
}

var assets = loadAssets()

func loadAssets() map[string]asset {
	all := make(map[string]asset)
	for file, contentType := range map[string]string{"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		body, err := assetFiles.ReadFile("assets/" + file)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(file)
		all[file] = asset{"/assets/" + strings.TrimSuffix(file, ext) + "." + hex.EncodeToString(sum[:6]) + ext, contentType, body}
	}
	return all
}

// serveAsset answers a request for an asset, and reports whether it was one.
func serveAsset(w http.ResponseWriter, r *http.Request) bool {
	for _, a := range assets {
		if r.URL.Path == a.name {
			w.Header().Set("Content-Type", a.contentType)
			w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
			w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
			if r.Method != http.MethodHead {
				_, _ = w.Write(a.body) // the browser left
			}
			return true
		}
	}
	return false
}

// policy lets a page load what is the console's own and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// harden sets what every answer has.
func harden(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("X-Robots-Tag", "noindex")
}

// page is what a page shows. Body is what its template needs.
type page struct {
	Title    string
	Template string
	Body     any
	// Sheets are its tables, each of which can be had as a file.
	Sheets []sheet
	// Live has the page follow calls.
	Live bool
}

// frame is what the layout needs of any page.
type frame struct {
	*page
	Base, Section, Viewer, Role string
	CSS, JS, Icon               string
	Query                       string
	Now                         time.Time
	Limited                     bool
	// Refresh is where the live part of the page is had again; "": it has none.
	Refresh string
}

var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	funcs := template.FuncMap{
		"time": timeElement, "sign": func(t Tone) string { return signs[t] }, "count": count, "thousands": thousands,
		"last": func(rows []chartRow) chartRow { return rows[len(rows)-1] },
	}
	layout := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	all := make(map[string]*template.Template)
	entries, err := pageFiles.ReadDir("pages")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(pageFiles, "pages/"+entry.Name()))
	}
	return all
}

// signs stand beside words, for readers who see no colours.
var signs = map[Tone]string{Good: "✓", Warn: "!", Bad: "✕", Unclear: "?", Waiting: "…", Quiet: "–"}

// timeView is a time as its template shows it: in UTC until the script puts it into the reader's zone.
type timeView struct{ Machine, Exact, Shown string }

func timeElement(t time.Time) timeView {
	t = t.UTC()
	shown := t.Format("2 Jan 15:04") + " UTC"
	if time.Since(t) > 300*24*time.Hour {
		shown = t.Format("2 Jan 2006")
	}
	return timeView{t.Format(time.RFC3339Nano), t.Format("Monday 2 January 2006 15:04:05.000") + " UTC", shown}
}

// write writes a page, a part of it, or one of its tables as a file.
func (c *Console) write(w http.ResponseWriter, r *request, p *page) {
	query := r.URL.Query()
	if name := query.Get("csv"); name != "" {
		for _, s := range p.Sheets {
			if s.id() == name || s.id() == "" && name == "table" {
				c.writeFile(w, r, s.file(query))
				return
			}
		}
		c.writeDenial(w, r.Request, r.base, c.denialOf(errNoPage, r.view.Page))
		return
	}
	f := &frame{page: p, Base: r.base, Section: r.view.Page, Viewer: r.name, Role: string(r.role), Query: clip(query.Get("q"), maxFilter), Now: time.Now(), Limited: r.limited()}
	if r.view.Page != "search" {
		f.Query = ""
	}
	part := "layout.html"
	if p.Live {
		query.Set("part", "live")
		f.Refresh = r.base + r.URL.Path + "?" + query.Encode()
		if r.URL.Query().Get("part") == "live" {
			part = "live"
		}
	}
	c.render(w, r.Request, http.StatusOK, p.Template, part, f)
}

func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name, part string, f *frame) {
	f.CSS, f.JS, f.Icon = f.Base+assets["console.css"].name, f.Base+assets["console.js"].name, f.Base+assets["icon.svg"].name
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, part, f); err != nil {
		panic(fmt.Sprintf("console: page %s: %v", name, err)) // templates and what they show are both ours
	}
	body := visible(b.Bytes())
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser left
	}
}

// visible returns a page in which characters that turn the direction of a line or hide in it are written as escapes: only
// text from outside has them.
func visible(body []byte) []byte {
	hides := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
	}
	if bytes.IndexFunc(body, hides) < 0 {
		return body
	}
	var b bytes.Buffer
	for _, r := range string(body) {
		if hides(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

func (c *Console) writeDenial(w http.ResponseWriter, r *http.Request, base string, d *denial) {
	f := &frame{page: &page{Title: d.title, Template: "denial", Body: d.text}, Base: base, Section: "denial", Now: time.Now()}
	c.render(w, r, d.status, "denial", "layout.html", f)
}

func (c *Console) writeFile(w http.ResponseWriter, r *request, f file) {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="erpsync-%s-%s.csv"`, r.view.Page, f.name))
	if r.Method == http.MethodHead {
		return
	}
	_ = writeCSV(w, f.rows) // the browser left
}
