package superoffice

import (
	"net/url"
	"strconv"
	"strings"
)

// readFormArguments reads ErpConnectionId=612&InternalKeyIds=386&InternalKeyIds=230.
// ASP.NET's indexed names (InternalKeyIds[0]) are refused: it stops at the first gap, so that
// the list it reads can be shorter than the one that was sent.
func readFormArguments(body []byte, f *argumentFields) error {
	values, err := url.ParseQuery(string(body))
	if err != nil || strings.ContainsAny(string(body), ";\x00") {
		return problem("", "not a form")
	}
	for name, list := range values {
		if strings.ContainsAny(name, "[].") {
			return problem("", "indexed and dotted names are not taken; repeat the plain name")
		}
		field, err := f.name(name)
		if err != nil {
			return err
		}
		if len(list) > maxKeys {
			return problem("/"+field, "more than 100000 keys")
		}
		switch field {
		case connectionField, actorTypeField:
			if len(list) != 1 {
				return problem("/"+field, "stands in the body twice")
			}
			if field == actorTypeField {
				f.args.ActorType = list[0]
			} else if f.args.Connection, err = formInt32(list[0], "/"+field); err != nil {
				return err
			}
		case internalKeysField:
			for i, value := range list {
				key, err := formInt32(value, "/"+field+"/"+strconv.Itoa(i))
				if err != nil {
					return err
				}
				f.args.Keys = append(f.args.Keys, key)
			}
		case externalKeysField:
			for i, value := range list {
				if value == "" {
					return problem("/"+field+"/"+strconv.Itoa(i), "not a string with something in it")
				}
			}
			f.args.ExternalKeys = list
		}
	}
	return nil
}

func formInt32(value, pointer string) (int32, error) {
	if value == "" {
		return 0, problem(pointer, "not an int32")
	}
	return parseInt32(value, pointer)
}
