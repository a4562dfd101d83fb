package outcome

import "testing"

// A cause repeats values of a token in quotes, and such a value may name a person.
func TestACauseNamesNobodyUnlessPrincipalsAreToldInFull(t *testing.T) {
	t.Parallel()
	const cause = `jwt: sub is "tove@uno.example", want "per \"x\""`
	for how, want := range map[Disclosure]string{Full: cause, Hashed: "jwt: sub is [omitted], want [omitted]", Omit: "jwt: sub is [omitted], want [omitted]", "": "jwt: sub is [omitted], want [omitted]"} {
		if got := (Privacy{Principals: how}).cause(cause); got != want {
			t.Errorf("%q: %s, want %s", how, got, want)
		}
	}
}
