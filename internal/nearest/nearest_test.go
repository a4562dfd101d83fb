package nearest

import "testing"

func TestAMisspelledWordFindsTheOneThatWasMeant(t *testing.T) {
	t.Parallel()
	known := []string{"administrators", "all", "ErpSync", "InternalKeyIds", "rate", "idle"}
	for word, want := range map[string]string{
		"ErpSynk": "ErpSync", "erpsync": "ErpSync", "InternalKeyId": "InternalKeyIds", "administrator": "administrators", "rtae": "rate", "al": "all",
		"x": "", "": "", "nonsense": "", "rat": "rate", "idel": "idle",
	} {
		if got := Word(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
