//go:build ignore

// Dotnetdiff holds the gateway's reading of bodies beside that of .NET's readers. It makes bodies in all
// forms, odd ones above all, and for each one that the gateway accepts compares what .NET reads in the
// document that the gateway sends. A difference there is a finding and ends in exit code 1. What .NET would
// have read in the caller's own bytes is counted: each difference is what forwarding them would have let happen.
//
//	tools/dotnetdiff/build /tmp/reader
//	go run tools/dotnetdiff/main.go -for 5m mono /tmp/reader/reader.exe
package main

import (
	"bufio"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func main() {
	duration := flag.Duration("for", time.Minute, "how long to try")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the bodies")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("usage: dotnetdiff [-for 1m] [-seed N] command of the reader")
	}
	reader, err := start(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	d := &diff{reader: reader, make: maker{rand.New(rand.NewPCG(*seed, 0))}, differing: map[string]int{}, example: map[string]string{}}
	fmt.Println("seed", *seed)
	for end := time.Now().Add(*duration); time.Now().Before(end); {
		if err := d.one(); err != nil {
			log.Fatal(err)
		}
	}
	d.report(os.Stdout)
	if d.findings > 0 {
		os.Exit(1)
	}
}

// reader is a running reader.exe.
type reader struct {
	in  io.Writer
	out *bufio.Reader
}

func start(command []string) (*reader, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &reader{in, bufio.NewReaderSize(out, 1<<20)}, cmd.Start()
}

// read returns what each of the readers finds, by its name.
func (r *reader) read(what, contentType string, body []byte) (map[string]string, error) {
	encode := base64.StdEncoding.EncodeToString
	if _, err := fmt.Fprintf(r.in, "%s\t%s\t%s\n", what, encode([]byte(contentType)), encode(body)); err != nil {
		return nil, err
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for told := range strings.SplitSeq(strings.TrimSpace(line), "\t") {
		name, value, _ := strings.Cut(told, "=")
		found[name] = value
	}
	return found, nil
}

type diff struct {
	reader                              *reader
	make                                maker
	tried, accepted, compared, findings int
	differing                           map[string]int
	example                             map[string]string
}

func (d *diff) one() error {
	op, contentType, body := d.make.body()
	d.tried++
	header := http.Header{}
	if contentType != "" {
		header["Content-Type"] = []string{contentType}
	}
	args, err := superoffice.ReadArguments(op, header, []byte(body))
	if err != nil {
		return nil
	}
	d.accepted++
	document, want := superoffice.Document(op, args), told(args)
	found, err := d.reader.read("document", superoffice.DocumentType, document)
	if err != nil {
		return err
	}
	for name, got := range found {
		d.compared++
		if got != want {
			d.findings++
			fmt.Printf("FINDING %s reads %s in %s, judged %s (%q %q)\n", name, got, document, want, contentType, body)
		}
	}
	found, err = d.reader.read("caller", contentType, []byte(body))
	if err != nil {
		return err
	}
	for name, got := range found {
		if got == want || got == "error" {
			continue
		}
		kind := name + " reads other keys"
		if names, all := namesKeys(want), !namesKeys(got); names && all {
			kind = name + " reads everything"
		}
		d.differing[kind]++
		if d.example[kind] == "" {
			d.example[kind] = fmt.Sprintf("%q %q: judged %s, read %s", contentType, body, want, got)
		}
	}
	return nil
}

// told writes arguments as the reader does.
func told(a superoffice.Arguments) string {
	keys, actor, external := "-", "-", "-"
	if a.Keys != nil {
		list := make([]string, len(a.Keys))
		for i, key := range a.Keys {
			list[i] = strconv.Itoa(int(key))
		}
		keys = strings.Join(list, ",")
	}
	if a.Stated&superoffice.ActorTypeProperty != 0 {
		actor = base64.StdEncoding.EncodeToString([]byte(a.ActorType))
	}
	if a.ExternalKeys != nil {
		list := make([]string, len(a.ExternalKeys))
		for i, key := range a.ExternalKeys {
			list[i] = base64.StdEncoding.EncodeToString([]byte(key))
		}
		external = strings.Join(list, ",")
	}
	return fmt.Sprintf("%d;%s;%s;%s", a.Connection, keys, actor, external)
}

func namesKeys(told string) bool {
	parts := strings.Split(told, ";")
	return len(parts) == 4 && (parts[1] != "-" && parts[1] != "" || parts[3] != "-" && parts[3] != "")
}

func (d *diff) report(w io.Writer) {
	fmt.Fprintf(w, "%d bodies, %d accepted, %d readings of the documents that are sent, %d findings\n", d.tried, d.accepted, d.compared, d.findings)
	fmt.Fprintln(w, "readings of the callers' own bytes that would have differed:")
	for _, kind := range slices.Sorted(maps.Keys(d.differing)) {
		fmt.Fprintf(w, "%8d %s, as in %s\n", d.differing[kind], kind, d.example[kind])
	}
}

// maker makes bodies: most of them nearly right.
type maker struct{ *rand.Rand }

func (m maker) of(list ...string) string { return list[m.IntN(len(list))] }

// seldom returns s one time in n, else "".
func (m maker) seldom(n int, s string) string {
	if m.IntN(n) > 0 {
		return ""
	}
	return s
}

func (m maker) body() (op superoffice.Operation, contentType, body string) {
	op = superoffice.ForceResync
	if m.IntN(3) == 0 {
		op = superoffice.ForceResyncExternal
	}
	external := op == superoffice.ForceResyncExternal
	switch m.IntN(3) {
	case 0:
		contentType, body = m.of("application/json", "text/json", "application/merge-patch+json", "application/json-patch+json"), m.json(external)
	case 1:
		contentType, body = m.of("application/xml", "text/xml"), m.xml(external)
	default:
		contentType, body = "application/x-www-form-urlencoded", m.form(external)
	}
	contentType += m.seldom(3, m.of("; charset=utf-8", ";charset=UTF-8", "; charset=utf-16", "; charset=us-ascii", "; charset=iso-8859-1", "; charset=utf-7", "; charset=\"utf-8\"", "; charset=utf8", "; charset*=utf-8''utf-8; charset=utf-16", "; odata=verbose", "; x=y"))
	if m.IntN(4) == 0 {
		body = m.mutated(body)
	}
	return op, contentType, body
}

// mutated puts something in, or takes something out.
func (m maker) mutated(body string) string {
	i := m.IntN(len(body) + 1)
	j := i + m.IntN(min(3, len(body)-i+1))
	return body[:i] + m.of("", "\x00", " ", "\ufeff", "\"", "&", "=", "<!-- -->", "/**/", "\u2028", "%00", ",", "0", "-", "\\u0000", "null", "<x/>", "[]", "\r\n", "é") + body[j:]
}

func (m maker) name(name string) string {
	switch m.IntN(12) {
	case 0:
		return strings.ToLower(name[:1]) + name[1:]
	case 1:
		return strings.ToUpper(name)
	case 2:
		return m.of("x", "request", "$type", "__type", "\ufeff"+name, name+"\x00", "request."+name, name+"[]", name+"[0]", name+"[1]", name+".0", name+"s")
	}
	return name
}

func (m maker) number() string {
	switch m.IntN(10) {
	case 0:
		return m.of("0", "-1", "2147483647", "-2147483648", "007", "-0", "1.0", "1e3", "4294967908", "+5", "0x10", "", " 7", "７", "1_0", "null", "true", "\"612\"", "1,2")
	default:
		return strconv.Itoa(m.IntN(1000))
	}
}

func (m maker) text() string {
	if m.IntN(4) == 0 {
		return m.of("", " ", "a b", "K&1", "<K>", "K\"1\\", "K'1", "Kø", "K\u2028", "\u200b", "日本", "\U0001f600", "/K/", "K\t", "K\x7f", "a+b", "a%20b", "2020-01-01T00:00:00Z", "null", "/Date(1)/", "K\u0085", "e\u0301")
	}
	return "K" + strconv.Itoa(m.IntN(1000))
}

// fields are the names that a body has, in an order.
func (m maker) fields(external bool) []string {
	names := []string{"ErpConnectionId", "InternalKeyIds"}
	if external {
		names = []string{"ErpConnectionId", "ErpActorType", "ExternalKeys"}
	}
	if m.IntN(3) == 0 {
		m.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	if m.IntN(8) == 0 {
		names = names[1:]
	}
	if m.IntN(12) == 0 {
		names = append(names, names[0])
	}
	return names
}

func (m maker) times() int { return m.IntN(4) }

func (m maker) json(external bool) string {
	quote := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			switch {
			case r == '"' || r == '\\':
				b.WriteString("\\" + string(r))
			case r < ' ' || m.IntN(20) == 0 && r < 0x10000:
				fmt.Fprintf(&b, "\\u%04x", r)
			default:
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	}
	var members []string
	for _, field := range m.fields(external) {
		value := m.number()
		switch field {
		case "ErpActorType":
			value = quote(m.text())
		case "InternalKeyIds", "ExternalKeys":
			var list []string
			for range m.times() {
				if external {
					list = append(list, quote(m.text()))
				} else {
					list = append(list, m.number())
				}
			}
			value = "[" + strings.Join(list, m.of(",", ", ", ",\n")) + "]"
			if m.IntN(10) == 0 {
				value = m.of("null", "{}", `""`, "[null]", "[[1]]")
			}
		}
		members = append(members, quote(m.name(field))+m.of(":", " : ")+value)
	}
	return m.seldom(10, "\ufeff") + "{" + strings.Join(members, ",") + "}" + m.seldom(20, m.of(" ", "//x", "{}", "\x00"))
}

var escapeXML = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (m maker) xml(external bool) string {
	var b strings.Builder
	b.WriteString(m.seldom(12, "\ufeff"))
	b.WriteString(m.seldom(4, m.of(`<?xml version="1.0"?>`, `<?xml version="1.0" encoding="utf-8"?>`, `<?xml version='1.0' encoding = "utf-7"?>`, `<?xml version="1.0" encoding="utf-16"?>`, `<?xml version="1.0" encoding = "iso-8859-1"?>`, `<?xml version="1.0" encoding="us-ascii"?>`)))
	b.WriteString("<Request" + m.seldom(2, ` xmlns="http://schemas.datacontract.org/2004/07/" xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"`) + m.seldom(20, m.of(` xmlns="urn:x"`, ` xmlns:q="http://www.w3.org/2001/XMLSchema-instance" q:nil="true"`)) + ">")
	for _, field := range m.fields(external) {
		name := strings.Map(func(r rune) rune {
			if strings.ContainsRune("$[]\x00\ufeff", r) {
				return 'x'
			}
			return r
		}, m.name(field))
		attribute := m.seldom(8, m.of(` xmlns="urn:x"`, ` xmlns=""`, ` xmlns:p="urn:p"`, ` i:nil="true"`))
		switch field {
		case "ErpConnectionId":
			fmt.Fprintf(&b, "<%s%s>%s</%s>", name, attribute, escapeXML.Replace(m.number()), name)
		case "ErpActorType":
			fmt.Fprintf(&b, "<%s%s>%s</%s>", name, attribute, escapeXML.Replace(m.text()), name)
		default:
			item, value := "int", m.number
			if external {
				item, value = "string", m.text
			}
			item = m.of("", "", "a:") + item + m.seldom(20, "x")
			fmt.Fprintf(&b, "<%s%s>", name, attribute)
			for range m.times() {
				fmt.Fprintf(&b, "<%s>%s%s%s</%s>", item, m.seldom(10, " "), escapeXML.Replace(value()), m.seldom(10, m.of(" ", "<!-- -->", "<![CDATA[1]]>", "&#49;")), item)
			}
			fmt.Fprintf(&b, "</%s>", name)
		}
		b.WriteString(m.seldom(8, m.of("\n", "<!-- x -->", " ")))
	}
	b.WriteString("</Request>" + m.seldom(12, m.of("\n", "<x/>", "<!-- -->")))
	return b.String()
}

func (m maker) form(external bool) string {
	escape := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			switch c := s[i]; {
			case c == ' ' && m.IntN(2) == 0:
				b.WriteByte('+')
			case strings.IndexByte("&=+%; \x00<>\"", c) >= 0 || c >= 0x80 && m.IntN(2) == 0 || m.IntN(20) == 0:
				fmt.Fprintf(&b, "%%%02X", c)
			default:
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	var pairs []string
	for _, field := range m.fields(external) {
		name := m.name(field)
		if m.IntN(4) == 0 && field != "ErpConnectionId" {
			name = field + "[]"
		}
		value, times := m.number, 1
		switch field {
		case "ErpActorType":
			value = m.text
		case "InternalKeyIds":
			times = m.times()
		case "ExternalKeys":
			value, times = m.text, m.times()
		}
		for range times {
			pairs = append(pairs, escape(name)+"="+escape(value()))
		}
	}
	return strings.Join(pairs, m.of("&", "&", "&", "&&", ";"))
}
