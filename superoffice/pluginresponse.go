package superoffice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// PluginResponse is what the outcome of a resync is told from. Fields that the
// answer does not hold, or holds as null, are nil.
type PluginResponse struct {
	IsOk            *bool
	Status          *string
	ErrorCode       *string
	UserExplanation *string
	TechExplanation *string
	Added           int
	Updated         int
	Deleted         int
	// Present tells that a property of a PluginResponse stands in the answer, null or not.
	Present bool
}

// Fault is an error body. Three shapes occur: Error/ErrorType/ErrorMessage, the
// same with Message, and ASP.NET's Message/MessageDetail.
type Fault struct {
	Type    string
	Message string
	Present bool
}

// ErrNotAnAnswer tells that a body is neither a PluginResponse, an error body nor null.
var ErrNotAnAnswer = errors.New("neither a PluginResponse nor an error body")

// ErrTwice tells that a body holds one property twice, so that two readers can read it differently.
var ErrTwice = errors.New("a property stands in the answer twice")

// ParseAnswer reads a JSON answer of the agent. null gives null true and nothing
// else. SuperOffice answers PascalCase alone, and so names are compared exactly.
func ParseAnswer(body []byte) (answer PluginResponse, fault Fault, null bool, err error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	decoder := json.NewDecoder(bytes.NewReader(body))
	token, err := decoder.Token()
	if err != nil {
		return answer, fault, false, err
	}
	switch token {
	case nil:
		null = true
	case json.Delim('{'):
		err = parseAnswerObject(decoder, &answer, &fault)
	default:
		return answer, fault, false, ErrNotAnAnswer
	}
	if err != nil {
		return answer, fault, false, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return answer, fault, false, ErrNotAnAnswer
	}
	if !null && !answer.Present && !fault.Present {
		return answer, fault, false, ErrNotAnAnswer
	}
	return answer, fault, null, nil
}

func parseAnswerObject(decoder *json.Decoder, answer *PluginResponse, fault *Fault) error {
	seen := make(map[string]bool, 8)
	var changes *struct {
		AddedRecords, UpdatedRecords, DeletedRecords []struct{}
	}
	var isError bool
	var detail string
	fields := map[string]any{
		"IsOk": &answer.IsOk, "Status": &answer.Status, "ErrorCode": &answer.ErrorCode,
		"UserExplanation": &answer.UserExplanation, "TechExplanation": &answer.TechExplanation, "Changes": &changes,
	}
	faults := map[string]any{
		"Error": &isError, "ErrorType": &fault.Type, "ErrorMessage": &fault.Message, "Message": &fault.Message, "MessageDetail": &detail, "ErrorSource": new(json.RawMessage),
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name := token.(string)
		if seen[name] {
			return ErrTwice
		}
		seen[name] = true
		var into any = new(json.RawMessage)
		if field, ok := fields[name]; ok {
			into, answer.Present = field, true
		} else if field, ok := faults[name]; ok {
			into, fault.Present = field, true
		}
		if err := decoder.Decode(into); err != nil {
			return err
		}
	}
	if changes != nil {
		answer.Added, answer.Updated, answer.Deleted = len(changes.AddedRecords), len(changes.UpdatedRecords), len(changes.DeletedRecords)
	}
	_, err := decoder.Token()
	return err
}
