package superoffice

import "testing"

func TestOnlyTheEnvironmentsOwnHostsAreTrusted(t *testing.T) {
	t.Parallel()
	online, err := NewEnvironment("online")
	if err != nil {
		t.Fatal(err)
	}
	custom, err := NewEnvironment("http://127.0.0.1:8088", "http://127.0.0.1:8089")
	if err != nil {
		t.Fatal(err)
	}
	for api, want := range map[string]string{
		"https://online3.superoffice.com/Cust12345/api":     "https://online3.superoffice.com/Cust12345/api",
		"https://online3.superoffice.com/Cust12345/api/":    "https://online3.superoffice.com/Cust12345/api",
		"https://ONLINE3.superoffice.com:443/cust12345/api": "https://online3.superoffice.com/Cust12345/api",
		"http://online3.superoffice.com/Cust12345/api":      "", "https://online3.superoffice.com:8443/Cust12345/api": "", "https://superoffice.com.evil.example/Cust12345/api": "",
		"https://evilsuperoffice.com/Cust12345/api": "", "https://evil.example#.superoffice.com/Cust12345/api": "", "https://u@online3.superoffice.com/Cust12345/api": "",
		"https://online3.superoffice.com/Cust54321/api": "", "https://online3.superoffice.com/Cust12345/api/..": "", "https://online3.superoffice.com/Cust12345/%61pi": "",
		"https://online3.superoffice.com/Cust12345/api?x": "", "https://evil%2esuperoffice.com/Cust12345/api": "", "": "", "https://.superoffice.com/Cust12345/api": "",
	} {
		if got, err := online.Trusts(api, "Cust12345"); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", api, got, err)
		}
	}
	for api, ok := range map[string]bool{"http://127.0.0.1:8088/Cust12345/api": true, "http://127.0.0.1:8089/Cust12345/api": true, "http://127.0.0.1:8090/Cust12345/api": false, "https://online.superoffice.com/Cust12345/api": false} {
		if _, err := custom.Trusts(api, "Cust12345"); (err == nil) != ok {
			t.Errorf("%s: %v", api, err)
		}
	}
	for _, bad := range []string{"", "http://sandbox.example", "https://", "https://a/b", "ftp://127.0.0.1", "https://u@a", "http://127.evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example"} {
		if _, err := NewEnvironment(bad); err == nil {
			t.Errorf("%q is taken for an environment", bad)
		}
	}
}
