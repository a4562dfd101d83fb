package superoffice

import (
	"mime"
	"strings"
)

const (
	contentType     = "Content-Type"
	contentEncoding = "Content-Encoding"
)

// bodyForms are the types of the vendor's list. What the two patch types would be applied to is
// not published: an object of either is read as the plain JSON that SuperOffice takes it for.
var bodyForms = map[string]bodyForm{
	"application/json": jsonForm, "text/json": jsonForm, "application/merge-patch+json": jsonForm, "application/json-patch+json": patchForm,
	"application/xml": xmlForm, "text/xml": xmlForm, "application/x-www-form-urlencoded": urlencodedForm,
}

// acceptedTypes are the keys of bodyForms as a header lists them.
const acceptedTypes = "application/json, text/json, application/merge-patch+json, application/json-patch+json, application/xml, text/xml, application/x-www-form-urlencoded"

type bodyForm uint8

const (
	jsonForm bodyForm = iota
	patchForm
	xmlForm
	urlencodedForm
)

// bodyType is what a Content-Type declares about a body.
type bodyType struct {
	form    bodyForm
	charset charset
}

// ignoredParameters are sent by OData's and ASP.NET's clients; none of them changes what a body means.
var ignoredParameters = map[string]bool{
	"odata": true, "odata.metadata": true, "odata.streaming": true, "ieee754compatible": true, "api-version": true, "version": true, "v": true,
}

// parseBodyType reads the values of Content-Type. RFC 2231's parameters (charset*=) are refused, since
// readers differ in whether they go before a plain one.
func parseBodyType(values []string) (bodyType, error) {
	switch {
	case len(values) == 0:
		return bodyType{}, nil
	case len(values) > 1:
		return bodyType{}, unsupported(contentType, "Content-Type occurs twice")
	}
	switch values[0] {
	case "", "application/json", DocumentType, "application/json;charset=utf-8", "application/json;charset=UTF-8":
		return bodyType{}, nil
	}
	if strings.Contains(values[0], "*") {
		return bodyType{}, unsupported(contentType, "Content-Type has a parameter with *; write charset=utf-8")
	}
	media, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return bodyType{}, unsupported(contentType, "Content-Type cannot be read")
	}
	form, known := bodyForms[media]
	if !known {
		return bodyType{}, unsupported(contentType, "Content-Type is none that SuperOffice lists; send application/json")
	}
	body := bodyType{form: form}
	for name, value := range parameters {
		switch {
		case name == "charset":
			if body.charset, known = parseCharset(value); !known || form == urlencodedForm && !body.charset.ofForms() {
				return bodyType{}, unsupported(contentType, "the charset in Content-Type is not taken; send utf-8")
			}
		case !ignoredParameters[name]:
			return bodyType{}, unsupported(contentType, "Content-Type has a parameter that is not taken; send charset alone")
		}
	}
	return body, nil
}

// checkContentEncoding refuses every coding of a body but none.
func checkContentEncoding(values []string) error {
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return unsupported(contentEncoding, "Content-Encoding says that the body is compressed; send it as it is")
			}
		}
	}
	return nil
}

func unsupported(header, text string) error { return &ArgumentError{Header: header, Problem: text} }

// AnswerType returns the media type in which ASP.NET answers to a request body of the given
// Content-Type if the request has no Accept: the body's own, JSON where it cannot write that.
func AnswerType(contentType string) string {
	const js = "application/json"
	media, _, err := ParseMediaType(contentType)
	if form, known := bodyForms[media]; err != nil || !known || form == urlencodedForm {
		return js
	}
	return media
}

var utf8Parameter = map[string]string{"charset": "utf-8"}

// ParseMediaType is [mime.ParseMediaType] with the two spellings known beforehand that
// nearly every call and answer has. The parameters are not to be changed.
func ParseMediaType(s string) (media string, parameters map[string]string, err error) {
	const js = "application/json"
	switch s {
	case js:
		return js, nil, nil
	case js + "; charset=utf-8":
		return js, utf8Parameter, nil
	}
	return mime.ParseMediaType(s)
}
