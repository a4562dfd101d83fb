package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// The index of what is no success names every such outcome.
func TestEveryOutcomeIsInOneOfTheIndices(t *testing.T) {
	t.Parallel()
	for _, class := range outcome.Classes() {
		if named := strings.Contains(sqlstore.Unsettled, fmt.Sprintf("'%s'", class)); named == class.Succeeded() {
			t.Errorf("%s", class)
		}
	}
	if !strings.Contains(strings.Join(migrations, ""), sqlstore.Unsettled) {
		t.Error("the index has another condition than the questions")
	}
}
