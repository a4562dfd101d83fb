package superoffice

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// DocumentType is the Content-Type of every [Document].
const DocumentType = "application/json; charset=utf-8"

// Document returns the body that goes upstream for a call of op: nil for an operation without
// arguments, as the vendor's client sends it, else one JSON object of the properties that were
// stated, with the vendor's names in the vendor's order and nothing beside them.
//
// It is made of the judged arguments alone, so that no second reading of the caller's bytes
// decides what runs. A property that was absent stays absent, a null list null, an empty one empty.
func Document(op Operation, a Arguments) []byte {
	if op.Arguments() == NoArguments {
		return nil
	}
	doc := make([]byte, 0, a.documentSize())
	open := byte('{')
	for _, p := range op.Arguments().properties() {
		if a.Stated&p.bit == 0 {
			continue
		}
		doc = append(doc, open, '"')
		doc = append(append(doc, p.name...), '"', ':')
		open = ','
		switch p.bit {
		case ConnectionProperty:
			doc = strconv.AppendInt(doc, int64(a.Connection), 10)
		case InternalKeysProperty:
			doc = appendList(doc, a.Keys, func(doc []byte, key int32) []byte { return strconv.AppendInt(doc, int64(key), 10) })
		case ActorTypeProperty:
			doc = appendText(doc, a.ActorType)
		case ExternalKeysProperty:
			doc = appendList(doc, a.ExternalKeys, appendText)
		}
	}
	if open == '{' {
		doc = append(doc, '{')
	}
	return append(doc, '}')
}

func appendList[T any](doc []byte, list []T, each func([]byte, T) []byte) []byte {
	if list == nil {
		return append(doc, "null"...)
	}
	doc = append(doc, '[')
	for i, item := range list {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = each(doc, item)
	}
	return append(doc, ']')
}

// appendText escapes what JSON has to and no more: nothing that only HTML would need.
func appendText(doc []byte, s string) []byte {
	doc, _ = jsontext.AppendQuote(doc, s) // fails for what is not UTF-8 alone, which plainText refuses
	return doc
}

// documentSize returns how long the document becomes: at least that, where a text needs escapes.
func (a Arguments) documentSize() int {
	size := len(`{"ErpConnectionId":-2147483648,"InternalKeyIds":null}`)
	for _, key := range a.Keys {
		size += decimalSize(key) + len(",")
	}
	if a.Stated&(ActorTypeProperty|ExternalKeysProperty) != 0 {
		size += len(`"ErpActorType":"","ExternalKeys":[],`) + len(a.ActorType)
		for _, key := range a.ExternalKeys {
			size += len(key) + len(`"",`)
		}
	}
	return size
}

func decimalSize(n int32) int {
	size, rest := 1, int64(n)
	if rest < 0 {
		size, rest = 2, -rest
	}
	for ; rest >= 10; rest /= 10 {
		size++
	}
	return size
}
