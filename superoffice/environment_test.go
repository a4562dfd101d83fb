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
	for _, bad := range []string{"", "http://sandbox.example", "https://", "https://a/b", "ftp://127.0.0.1", "https://u@a"} {
		if _, err := NewEnvironment(bad); err == nil {
			t.Errorf("%q is taken for an environment", bad)
		}
	}
}

func TestAQueryIsRebuiltFromItsOneSelect(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "$select=": "", "$select=Name,%20department,category/id": "$select=Name,department,category%2Fid,IsOk,Status,ErrorCode",
		"%24SELECT=isok,STATUS,ErrorCode": "$select=isok,STATUS,ErrorCode", "$select=IsOk": "$select=IsOk,Status,ErrorCode",
	} {
		s, err := ParseQuery(raw)
		if got := s.Revealing().Query(); err != nil || got != want || s.Revealing().Hides() {
			t.Errorf("%s: %s %v", raw, got, err)
		}
	}
	for _, raw := range []string{"x=1", "$select=a&$select=b", "$select=a;b", "$select=a%26b=c", "$select=%zz", "$select=a%0d%0ab", "&", "$select=a&x"} {
		if _, err := ParseQuery(raw); err == nil {
			t.Errorf("%s is understood", raw)
		}
	}
}
