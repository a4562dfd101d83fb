package superoffice

import "errors"

// Answer is what SuperOffice said: a PluginResponse, an error body, or null.
type Answer struct {
	PluginResponse
	Fault Fault
	// Null reports whether the answer is null, which SuperOffice documents for a failed call.
	Null bool
}

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
	// Present reports whether a property of a PluginResponse is in the answer, null or not.
	Present bool
}

// Fault is an error body. Three shapes occur: Error/ErrorType/ErrorMessage, the
// same with Message, and ASP.NET's Message/MessageDetail.
type Fault struct {
	Type    string
	Message string
	Present bool
}

var (
	// ErrNotAnAnswer means that a body is neither a PluginResponse, an error body nor null.
	ErrNotAnAnswer = errors.New("neither a PluginResponse nor an error body")

	// ErrTwice means that a body holds one property twice, so that two readers can read it differently.
	ErrTwice = errors.New("a property occurs twice in the answer")

	// ErrTooDeep means that a body is nested deeper than any answer is.
	ErrTooDeep = errors.New("the answer is nested too deep")

	// ErrTooLong means that a single text in a body is longer than any answer's.
	ErrTooLong = errors.New("a text in the answer is too long")

	// ErrDocumentType means that an XML body defines a document type, which no answer does.
	ErrDocumentType = errors.New("the answer defines a document type")
)

const (
	// maxAnswerDepth bounds the nesting of an answer; documented ones reach five.
	maxAnswerDepth = 100

	// maxAnswerText bounds a single text in an answer, and so the memory that
	// reading one takes, however long the answer is. In bytes.
	maxAnswerText = 256 << 10
)

// The names that an answer is understood by. SuperOffice answers PascalCase
// alone, so they are compared exactly.
const (
	isOk            = "IsOk"
	status          = "Status"
	errorCode       = "ErrorCode"
	userExplanation = "UserExplanation"
	techExplanation = "TechExplanation"
	changes         = "Changes"
	errorType       = "ErrorType"
	errorMessage    = "ErrorMessage"
	message         = "Message"
	messageDetail   = "MessageDetail"
	errorFlag       = "Error"
	errorSource     = "ErrorSource"
)

var answerNames = []string{
	isOk, status, errorCode, userExplanation, techExplanation, changes,
	errorType, errorMessage, message, messageDetail, errorFlag, errorSource,
}

// text returns where a property that is a text is kept; nil for every other property.
func (a *Answer) text(name string) **string {
	switch name {
	case status:
		return &a.Status
	case errorCode:
		return &a.ErrorCode
	case userExplanation:
		return &a.UserExplanation
	case techExplanation:
		return &a.TechExplanation
	}
	return nil
}

// faultText returns where a text of an error body is kept; nil for every other property.
func (a *Answer) faultText(name string) *string {
	switch name {
	case errorType:
		return &a.Fault.Type
	case errorMessage, message:
		return &a.Fault.Message
	case messageDetail, errorSource:
		return new(string)
	}
	return nil
}

// count returns where the records of a list in Changes are counted.
func (a *Answer) count(list string) *int {
	switch list {
	case "AddedRecords":
		return &a.Added
	case "UpdatedRecords":
		return &a.Updated
	case "DeletedRecords":
		return &a.Deleted
	}
	return nil
}

// understood reports whether an answer that was read to its end says anything.
func (a *Answer) understood() error {
	if !a.Null && !a.Present && !a.Fault.Present {
		return ErrNotAnAnswer
	}
	return nil
}
