package erpsync

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestAnOperationsURLIsTheOneThatItsTextNames(t *testing.T) {
	t.Parallel()
	for _, api := range []string{
		"https://sod3.superoffice.com/Cust12345/api", "http://127.0.0.1:8080/Cust12345/api", "http://[::1]:8080/Cust12345/api", "https://iis.internal/crm7/api", "https://iis.internal/a/b/api", "https://iis.internal/api",
	} {
		want, err := url.Parse(api + "/v1/Agents/ErpSync/ForceResync")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, operationURL(api, superoffice.ForceResync)); diff != "" {
			t.Errorf("%s: %s", api, diff)
		}
	}
}
