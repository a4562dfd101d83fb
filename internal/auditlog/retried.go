package auditlog

import "fmt"

// Retried is what came of a second try.
type Retried struct {
	Planned   int    `json:"planned"`
	Sent      int    `json:"sent"`
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
	Stopped   string `json:"stopped"`
}

func (r *Retried) String() string {
	text := fmt.Sprintf("%d of %d calls sent, %d succeeded", r.Sent, r.Planned, r.Succeeded)
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	if r.Stopped != "" {
		text += ": " + r.Stopped
	}
	return text
}
