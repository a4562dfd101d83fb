package auditlog

import "testing"

func TestASecondTryIsToldWithWhatCameOfIt(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"act":"retry","all":true,"calls":{"planned":6,"sent":2,"succeeded":1,"failed":1,"stopped":"interrupted"}}`: "all that fails, 2 of 6 calls sent, 1 succeeded, 1 failed: interrupted",
		`{"act":"retry","group":17,"calls":{"planned":1,"sent":1,"succeeded":1}}`:                                    "1 of 1 calls sent, 1 succeeded",
		`{"act":"hold","all":true,"reason":"moving"}`:                                                                "everything, moving",
	} {
		line, err := parseAct([]byte(raw), []byte("1795000000"))
		if err != nil || line.Act.held() != want {
			t.Errorf("%s: %q, %v", raw, line.Act.held(), err)
		}
	}
}
