package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-erpsync/caddy-erpsync/history/sqlstore"
)

const (
	// tenantLocks is how many advisory locks the tenants share. A transaction holds one for each of its tenants, and a server
	// has room for some thousands in all.
	tenantLocks = 256
	// migrationLock is the lock of who changes the schema.
	migrationLock = -1
)

// dialect is PostgreSQL's. What it sets holds for one transaction: a pool of connections between it and the server may be shared.
type dialect struct {
	schema string
	// timeout bounds each statement, each waiting for a lock, and how long a gateway that stopped may hold the others up.
	timeout time.Duration
	texts   *sync.Map // statements as PostgreSQL reads them
}

func newDialect(schema string, timeout time.Duration) dialect {
	return dialect{schema, timeout, new(sync.Map)}
}

// Text numbers the arguments.
func (d dialect) Text(statement string) string {
	if text, ok := d.texts.Load(statement); ok {
		return text.(string)
	}
	parts := strings.Split(statement, "?")
	var text strings.Builder
	for i, part := range parts {
		if i > 0 {
			text.WriteByte('$')
			if part == "" || part[0] < '0' || part[0] > '9' { // it does not say which
				text.WriteString(strconv.Itoa(i))
			}
		}
		text.WriteString(part)
	}
	if len(parts) > 1 {
		d.texts.Store(statement, text.String())
	}
	return text.String()
}

func (dialect) Classify(err error) error { return classify(err) }
func (dialect) Repeats(err error) bool   { return repeats(err) }

// Begin says where the tables are. pg_temp comes last, so that no table of another role comes before ours.
func (d dialect) Begin(tx *sqlstore.Tx) error {
	millis := strconv.FormatInt(d.timeout.Milliseconds(), 10)
	_, err := tx.Exec("SELECT set_config('search_path', ?, true), set_config('statement_timeout', ?, true), set_config('lock_timeout', ?, true), set_config('idle_in_transaction_session_timeout', ?, true)",
		pgx.Identifier{d.schema}.Sanitize()+", pg_temp", millis, strconv.FormatInt(d.timeout.Milliseconds()*3/4, 10), millis)
	return err
}

// class is the first half of the numbers of this history's locks, which the database shares with other programs.
func (d dialect) class() int32 {
	sum := fnv.New32a()
	_, _ = fmt.Fprintf(sum, "caddy-erpsync history %s", d.schema)
	return int32(sum.Sum32()) //nolint:gosec // any 32 bits will do
}

// Lock takes the locks of tenants in the order of their numbers. What the statements after it see is newer than what
// another transaction wrote that held one of them.
func (d dialect) Lock(tx *sqlstore.Tx, tenants []sqlstore.Tenant) error {
	locks := make([]int32, 0, len(tenants))
	for _, tenant := range tenants {
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(tenant.Environment + "\x00" + tenant.Tenant))
		locks = append(locks, int32(sum.Sum32()%tenantLocks))
	}
	slices.Sort(locks)
	_, err := tx.Exec("SELECT pg_advisory_xact_lock(?, number) FROM unnest(?::int[]) AS number", d.class(), slices.Compact(locks))
	return err
}

// Ahead is history's clock: a gateway whose own is wrong must not take the others for silent.
func (dialect) Ahead(tx *sqlstore.Tx) (time.Duration, error) {
	asked := time.Now()
	var micros int64
	if err := tx.QueryRow("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&micros); err != nil {
		return 0, err
	}
	took := time.Since(asked)
	return time.UnixMicro(micros).Sub(asked.Add(took / 2)), nil
}

// The first byte of a key in failing. Everything has none.
const (
	internalKey byte = iota + 1
	externalKey
	hashedKey
)

// maxKey is how long an external key may be in an index of PostgreSQL; longer ones are there by their sum.
const maxKey = 500

// Key returns bytes: text could hold neither NUL nor what is no UTF-8.
func (dialect) Key(key any) any {
	switch key := key.(type) {
	case int64:
		return binary.BigEndian.AppendUint32([]byte{internalKey}, uint32(key)) //nolint:gosec // keys are int32
	case string:
		if len(key) > maxKey {
			sum := sha256.Sum256([]byte(key))
			return append([]byte{hashedKey}, sum[:]...)
		}
		return append([]byte{externalKey}, key...)
	}
	return sqlstore.Everything
}

// keyList is keys as one argument, each once.
func keyList(keys []any) [][]byte {
	list := make([][]byte, 0, len(keys))
	for _, key := range keys {
		list = append(list, key.([]byte))
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.CompactFunc(list, bytes.Equal)
}

// RemoveKeys asks once for all keys.
func (dialect) RemoveKeys(tx *sqlstore.Tx, scope int64, keys []any, condition string, args ...any) error {
	_, err := tx.Exec("DELETE FROM failing WHERE scope = ? AND key = ANY(?::bytea[]) AND "+condition, append([]any{scope, keyList(keys)}, args...)...)
	return err
}

// FailKeys asks once for all keys.
func (dialect) FailKeys(tx *sqlstore.Tx, scope int64, keys []any, failure, ended int64) error {
	_, err := tx.Exec(`INSERT INTO failing (scope, key, failure, ended) SELECT ?::bigint, unnest(?::bytea[]), ?::bigint, ?::bigint
ON CONFLICT (scope, key) DO UPDATE SET failure = excluded.failure, ended = excluded.ended WHERE excluded.ended >= failing.ended`, scope, keyList(keys), failure, ended)
	return err
}
