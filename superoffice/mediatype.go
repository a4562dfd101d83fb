package superoffice

import "mime"

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
