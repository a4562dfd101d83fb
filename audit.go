package erpsync

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Audit says what is recorded of each call, and how much of a person.
type Audit struct {
	// How the caller is named: full (default), hash or omit. A hash is keyed with
	// the first of keys, so that it can be compared between gateways which share them.
	Principals string `json:"principals,omitempty"`
	// What becomes of UserExplanation and TechExplanation, which can hold personal
	// data: omit (default), hash or full.
	Explanations string `json:"explanations,omitempty"`
	// Send a caller's $select as it is. Without it IsOk, Status and ErrorCode are asked
	// for as well; with it the outcome of a call that leaves them out is masked.
	KeepSelect bool `json:"keep_select,omitempty"`
	// Send the trace context (traceparent, tracestate) upstream. Default: it stays here.
	ForwardTrace bool `json:"forward_trace,omitempty"`
}

func (a *Audit) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return options(d, map[string]option{
		"principals":    text(d, &a.Principals),
		"explanations":  text(d, &a.Explanations),
		"keep_select":   toggle(d, &a.KeepSelect),
		"forward_trace": toggle(d, &a.ForwardTrace),
	})
}

func (a *Audit) privacy(key []byte) (outcome.Privacy, error) {
	principals, err := disclosure("principals", a.Principals, outcome.Full)
	if err != nil {
		return outcome.Privacy{}, err
	}
	explanations, err := disclosure("explanations", a.Explanations, outcome.Omit)
	return outcome.Privacy{Principals: principals, Explanations: explanations, Key: key}, err
}

func disclosure(option, raw string, otherwise outcome.Disclosure) (outcome.Disclosure, error) {
	switch how := outcome.Disclosure(raw); how {
	case "":
		return otherwise, nil
	case outcome.Full, outcome.Hashed, outcome.Omit:
		return how, nil
	}
	return "", fmt.Errorf("audit: %s %q: want full, hash or omit", option, raw)
}
