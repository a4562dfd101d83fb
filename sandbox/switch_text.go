package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SwitchInfo describes one field of Switches.
type SwitchInfo struct {
	Name string
	// Values are what it may be, the default first; empty for free text, numbers and durations.
	Values []string
	// Kind is "choice", "text", "bool", "number" or "duration".
	Kind    string
	Default string
}

// AllSwitches describes every field of Switches, in their order.
func AllSwitches() []SwitchInfo {
	fields := reflect.TypeFor[Switches]()
	all := make([]SwitchInfo, 0, fields.NumField())
	for i := range fields.NumField() {
		field := fields.Field(i)
		info := SwitchInfo{Name: field.Tag.Get("switch"), Values: strings.Fields(field.Tag.Get("values"))}
		switch {
		case len(info.Values) > 0:
			info.Kind, info.Default = "choice", info.Values[0]
		case field.Type == reflect.TypeFor[time.Duration]():
			info.Kind, info.Default = "duration", field.Tag.Get("default")
		case field.Type.Kind() == reflect.Bool:
			info.Kind, info.Default, info.Values = "bool", "false", []string{"false", "true"}
		case field.Type.Kind() == reflect.Int:
			info.Kind, info.Default = "number", "0"
		default:
			info.Kind = "text"
		}
		all = append(all, info)
	}
	return all
}

// Set sets one switch by its name. An empty value is the default.
func (s *Switches) Set(name, value string) error {
	all := AllSwitches()
	i := slices.IndexFunc(all, func(info SwitchInfo) bool { return info.Name == name })
	if i < 0 {
		var names []string
		for _, info := range all {
			names = append(names, info.Name)
		}
		return fmt.Errorf("unknown switch %q; there are %s", name, strings.Join(names, ", "))
	}
	info, field := all[i], reflect.ValueOf(s).Elem().Field(i)
	if value == "" || value == info.Default {
		field.SetZero()
		return nil
	}
	switch info.Kind {
	case "duration":
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("switch %s: invalid duration %q: must have a unit, such as 30s or 8h", name, value)
		}
		field.SetInt(int64(d))
	case "number":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("switch %s: invalid number %q", name, value)
		}
		field.SetInt(int64(n))
	case "bool":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("switch %s: %q is neither true nor false", name, value)
		}
		field.SetBool(b)
	default:
		field.SetString(value)
	}
	return s.Validate()
}

// Validate returns an error if a switch has a value that it cannot have.
func (s *Switches) Validate() error {
	for i, info := range AllSwitches() {
		field := reflect.ValueOf(s).Elem().Field(i)
		switch info.Kind {
		case "choice":
			if value := field.String(); value != "" && !slices.Contains(info.Values, value) {
				return fmt.Errorf("switch %s: %q is none of %s", info.Name, value, strings.Join(info.Values, ", "))
			}
		case "duration", "number":
			if field.Int() < 0 {
				return fmt.Errorf("switch %s: must not be negative", info.Name)
			}
		}
	}
	return nil
}

// text returns a switch as Set takes it, its default in words.
func (s *Switches) text(i int, info SwitchInfo) string {
	field := reflect.ValueOf(s).Elem().Field(i)
	if field.IsZero() {
		return info.Default
	}
	return fmt.Sprint(field.Interface())
}

// MarshalJSON writes every switch by its name, in their order.
func (s Switches) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, info := range AllSwitches() {
		value := s.text(i, info)
		if info.Kind != "bool" && info.Kind != "number" {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, ",%q:%s", info.Name, value)
	}
	b.WriteByte('}')
	out := b.Bytes()
	out[0] = '{'
	return out, nil
}

// UnmarshalJSON changes the switches that are named and leaves the others. A value may be written as text whatever its kind.
func (s *Switches) UnmarshalJSON(raw []byte) error {
	var named map[string]json.RawMessage
	if err := json.Unmarshal(raw, &named); err != nil {
		return errors.New("switches: not an object")
	}
	changed := *s
	for name, value := range named {
		text := string(value)
		if err := json.Unmarshal(value, &text); err != nil && strings.ContainsAny(text[:1], `{["`) {
			return fmt.Errorf("switch %s: must be a text, a number or true or false", name)
		}
		if string(value) == "null" { // the text "null" is a value of outcome
			text = ""
		}
		if err := changed.Set(name, text); err != nil {
			return err
		}
	}
	*s = changed
	return nil
}
