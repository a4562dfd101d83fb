package webpage

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// vary names the headers that Wanted reads.
const vary = "Accept, Sec-Fetch-Dest"

// Wanted reports whether a person in a browser sees the answer, so that it must be a page; otherwise a program reads
// it, and gets no page.
//
// Browsers since 2020 (Safari since 2023) say it in Sec-Fetch-Dest, which scripts cannot set; it decides alone, and a
// fetch is a program whatever it accepts. Without it Accept decides. Every browser names application/xhtml+xml
// beside text/html when it navigates; text/html among other types is no sign, since Java's HttpURLConnection sends it
// by default. A type that JSON is preferred to or level with is none that a person waits for.
func Wanted(r *http.Request) bool {
	if dests := r.Header["Sec-Fetch-Dest"]; len(dests) > 0 {
		return len(dests) == 1 && navigations[dests[0]]
	}
	return acceptsPage(r.Header["Accept"])
}

// Framed reports whether a browser loads the answer into a frame of another page.
func Framed(r *http.Request) bool {
	dests := r.Header["Sec-Fetch-Dest"]
	return len(dests) == 1 && navigations[dests[0]] && dests[0] != "document"
}

// navigations are the destinations that a person looks at (Fetch standard, "navigation request").
var navigations = map[string]bool{"document": true, "iframe": true, "frame": true, "embed": true, "object": true, "fencedframe": true}

func acceptsPage(lines []string) bool {
	accept := strings.Join(lines, ",")
	if !strings.Contains(accept, "text/html") || len(accept) > 1024 {
		return false // nearly every program
	}
	var html, xhtml, json float64
	others := false
	for part := range strings.SplitSeq(accept, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			others = true // Java's "*; q=.2" among them
			continue
		}
		switch q := quality(params["q"]); {
		case media == "text/html":
			html = q
		case media == "application/xhtml+xml":
			xhtml = q
		case media == "application/json" || strings.HasSuffix(media, "+json"):
			json = max(json, q)
		default:
			others = true
		}
	}
	return html > 0 && html > json && (xhtml > 0 || !others)
}

// quality reads a weight of Accept (RFC 9110, section 12.4.2); one that cannot be read is none.
func quality(q string) float64 {
	if q == "" {
		return 1
	}
	weight, err := strconv.ParseFloat(q, 64)
	if err != nil || weight < 0 || weight > 1 {
		return 0
	}
	return weight
}
