package webpage

import (
	"embed"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"text/template"

	"golang.org/x/text/language"
)

// tags are the languages there are. The first is for readers who prefer none of them.
var tags = []language.Tag{
	language.MustParse("en"), language.MustParse("nb"), language.MustParse("da"), language.MustParse("sv"), language.MustParse("de"), language.MustParse("nl"),
	language.MustParse("nn"), // of whose readers all read Bokmål
}

//go:embed locales/*.json
var files embed.FS

// locale is the words of one language.
type locale struct {
	tag string
	// Words are the labels of links and the like.
	Words map[string]string `json:"words"`
	// Pages hold a title and paragraphs each, which are templates over Facts.
	Pages map[string][]string `json:"pages"`

	parsed map[string][]*template.Template
}

// locales reads every language once, when the first page is written.
var locales = sync.OnceValue(func() map[string]*locale {
	all := make(map[string]*locale)
	for _, tag := range tags {
		name := file(tag)
		if all[name] != nil {
			continue
		}
		raw, err := files.ReadFile("locales/" + name + ".json")
		if err != nil {
			panic(err)
		}
		l := &locale{tag: name, parsed: make(map[string][]*template.Template)}
		if err := json.Unmarshal(raw, l); err != nil {
			panic(name + ": " + err.Error())
		}
		for page, texts := range l.Pages {
			for _, text := range texts {
				l.parsed[page] = append(l.parsed[page], template.Must(template.New(name+" "+page).Parse(text)))
			}
		}
		all[name] = l
	}
	return all
})

func file(tag language.Tag) string {
	if name := tag.String(); name != "nn" {
		return name
	}
	return "nb"
}

var matcher = language.NewMatcher(tags)

// maxAcceptLanguage bounds what is parsed of a stranger's header, in bytes.
const maxAcceptLanguage = 512

func localeFor(r *http.Request) *locale {
	header := strings.Join(r.Header["Accept-Language"], ",")
	if len(header) > maxAcceptLanguage {
		header = ""
	}
	wanted, _, _ := language.ParseAcceptLanguage(header) // one that cannot be read wants nothing
	_, i, _ := matcher.Match(wanted...)
	return locales()[file(tags[i])]
}

// render returns the title and the paragraphs of a page.
func (l *locale) render(page string, facts Facts) (title string, text []string) {
	about := struct {
		Facts
		Company string
	}{facts, facts.Tenant}
	if about.Company == "" {
		about.Company = l.Words["company"]
	}
	for _, t := range l.parsed[page] {
		var b strings.Builder
		if err := t.Execute(&b, about); err != nil {
			panic(err) // templates and their fields are both ours
		}
		text = append(text, b.String())
	}
	if len(text) == 0 {
		panic("webpage: the locales lack the page " + page)
	}
	return text[0], text[1:]
}

// links returns the links with their labels in the language.
func (l *locale) links(links []Link) []Link {
	shown := make([]Link, 0, len(links))
	for _, link := range links {
		label := l.Words[link.Label]
		if label == "" {
			panic("webpage: the locales lack the word " + link.Label)
		}
		shown = append(shown, Link{label, link.URL, link.NewWindow})
	}
	return shown
}
