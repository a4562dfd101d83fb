// Package page is the page that partners copy: plain HTML, CSS and JavaScript. It is a package so that the demo holds it.
package page

import "embed"

// Files are the page's: index.html, page.css and page.js.
//
//go:embed index.html page.css page.js
var Files embed.FS
