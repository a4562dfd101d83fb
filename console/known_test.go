package console

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAnswerIsGivenAgainForAShortTimeAndAskedForBesideThePages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		asked := 0
		var fails error
		get := func() int {
			t.Helper()
			value, err := c.get(t.Context(), freshFor, staleFor, func(context.Context) (int, error) {
				asked++
				time.Sleep(time.Second)
				return asked, fails
			})
			if err != nil && fails == nil {
				t.Fatal(err)
			}
			return value
		}
		if first, again := get(), get(); first != 1 || again != 1 || asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		time.Sleep(freshFor)
		began := time.Now()
		if first, again := get(), get(); first != 1 || again != 1 || time.Since(began) != 0 {
			t.Error("a page waits though there is an answer")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if asked != 2 || get() != 2 {
			t.Errorf("asked %d times beside the pages", asked)
		}
		fails = errors.New("gone")
		time.Sleep(staleFor - time.Second)
		if get() != 2 { // and asks beside it, in vain
			t.Error("an error takes an answer away that is not stale")
		}
		time.Sleep(2 * time.Second)
		if _, err := c.get(t.Context(), freshFor, staleFor, func(context.Context) (int, error) { return 0, fails }); !errors.Is(err, fails) {
			t.Errorf("a stale answer hides an error: %v", err)
		}
	})
}
