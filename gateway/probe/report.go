package probe

import "time"

// Report is what a probe found. It holds no secret, no name of a person, tenant, host or app, and no text of the
// service's: words of a closed list and numbers alone, so that it can be shown to anybody.
type Report struct {
	// Version and Revision are the gateway's.
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Environment is online, stage, sod or custom.
	Environment string `json:"environment"`
	// Date is the day in UTC.
	Date string `json:"date"`
	// CallAs is the app's.
	CallAs string `json:"call_as"`
	// Administrator reports whether the person who signed in is one.
	Administrator bool   `json:"administrator"`
	Facts         []Fact `json:"facts"`
}

// Fact is one question and its answer.
type Fact struct {
	// Question is its name, Asks the question in words.
	Question string `json:"question"`
	Asks     string `json:"asks"`
	// Answer is what the service did in one word of a closed list; "": not observed, for the reason in Found.
	Answer string `json:"answer,omitempty"`
	Found  string `json:"found"`
	// Assumes is what the gateway takes for granted, as it runs.
	Assumes string `json:"gateway_assumes"`
	// Differs reports that the gateway does not work with what the service does, or not as safely as it should.
	Differs bool `json:"differs"`
	// Change is what to change then: an option each.
	Change []string `json:"change,omitempty"`
}

// Observed reports whether the service showed what it does.
func (f Fact) Observed() bool { return f.Answer != "" }

// Observed returns how many questions the service answered.
func (r *Report) Observed() (n int) {
	for _, f := range r.Facts {
		if f.Observed() {
			n++
		}
	}
	return n
}

// Differing returns how many answers are not what the gateway assumes.
func (r *Report) Differing() (n int) {
	for _, f := range r.Facts {
		if f.Differs {
			n++
		}
	}
	return n
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }
