package report

import "testing"

func TestAnEmptyWordRevokesNothing(t *testing.T) {
	t.Parallel()
	word := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		request Revocation
		ok      bool
	}{
		"nothing":             {Revocation{}, false},
		"an app":              {Revocation{App: word("erp")}, true},
		"an empty app":        {Revocation{App: word("")}, false},
		"a tenant":            {Revocation{Tenant: word("cust12345")}, true},
		"an empty tenant":     {Revocation{Tenant: word("")}, false},
		"a person":            {Revocation{Tenant: word("Cust12345"), User: word("tove@uno.example")}, true},
		"an empty person":     {Revocation{Tenant: word("Cust12345"), User: word("")}, false},
		"a person of no one":  {Revocation{User: word("tove@uno.example")}, false},
		"an app and a tenant": {Revocation{App: word("erp"), Tenant: word("Cust12345")}, false},
		"an app and an empty": {Revocation{App: word("erp"), Tenant: word("")}, false},
		"a tenant of no form": {Revocation{Tenant: word("x")}, false},
		"an app and a person": {Revocation{App: word("erp"), User: word("tove@uno.example")}, false},
	} {
		if _, err := parseRevocation(c.request); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
