package superoffice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// strictly reads a document with encoding/json as narrowly as one can: exact names, each once, none unknown, int32
// numbers, one value and nothing after it.
func strictly(t testing.TB, op Operation, document []byte) Arguments {
	t.Helper()
	args := Arguments{Everything: op.Everything()}
	if op.Arguments() == NoArguments {
		if len(document) != 0 {
			t.Fatalf("%s is sent with a body: %s", op, document)
		}
		return args
	}
	tokens := json.NewDecoder(bytes.NewReader(document))
	if open, err := tokens.Token(); err != nil || open != json.Delim('{') {
		t.Fatalf("%s: no object: %v", document, err)
	}
	for tokens.More() {
		name, err := tokens.Token()
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		var value json.RawMessage
		if err := tokens.Decode(&value); err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		p, ok := map[json.Token]property{}, false
		for _, known := range op.Arguments().properties() {
			p[known.name] = known
		}
		if _, ok = p[name]; !ok || args.Stated&p[name].bit != 0 {
			t.Fatalf("%s: %v is unknown, or occurs twice", document, name)
		}
		args.Stated |= p[name].bit
	}
	if _, err := tokens.Token(); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	if _, err := tokens.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("%s: something follows", document)
	}
	var whole struct {
		ErpConnectionId int32 //nolint:revive // the wire's spelling
		InternalKeyIds  []int32
		ErpActorType    string
		ExternalKeys    []string
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&whole); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	args.Connection, args.Keys, args.ActorType, args.ExternalKeys = whole.ErpConnectionId, whole.InternalKeyIds, whole.ErpActorType, whole.ExternalKeys
	args.Everything = len(args.Keys)+len(args.ExternalKeys) == 0
	return args
}

func TestTheDocumentOfEveryAcceptedBodyIsExactlyWhatWasJudged(t *testing.T) {
	t.Parallel()
	accepted := 0
	for _, c := range bodyCases {
		got, err := ReadArguments(c.op, headerOf(c.media), []byte(c.body))
		if err != nil {
			continue
		}
		accepted++
		if diff := cmp.Diff(got, strictly(t, c.op, Document(c.op, got))); diff != "" {
			t.Errorf("%s %q: the document %s says otherwise: %s", c.media, c.body, Document(c.op, got), diff)
		}
	}
	if accepted < 40 {
		t.Errorf("only %d bodies were accepted", accepted)
	}
}

func TestADocumentIsWrittenInOneWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op   Operation
		args Arguments
		want string
	}{
		{ForceResync, seedArguments, `{"ErpConnectionId":612,"InternalKeyIds":[386,230]}`},
		{ForceResync, absentKeys, `{"ErpConnectionId":612}`},
		{ForceResync, nullKeys, `{"ErpConnectionId":612,"InternalKeyIds":null}`},
		{ForceResync, emptyKeys, `{"ErpConnectionId":612,"InternalKeyIds":[]}`},
		{ForceResync, noProperty, `{}`},
		{ForceResync, Arguments{Keys: []int32{math.MinInt32, 0, math.MaxInt32}, Stated: InternalKeysProperty}, `{"InternalKeyIds":[-2147483648,0,2147483647]}`},
		{ForceResyncExternal, externalSeed, `{"ErpConnectionId":612,"ErpActorType":"Customer","ExternalKeys":["K1","K2"]}`},
		{ForceResyncExternal, Arguments{ExternalKeys: []string{"<&>'\"\\\u2028é"}, Stated: ExternalKeysProperty}, "{\"ExternalKeys\":[\"<&>'\\\"\\\\\u2028é\"]}"},
		{SyncAll, noProperty, ``},
		{GetEngineStatus, Arguments{}, ``},
	} {
		if got := string(Document(c.op, c.args)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestADocumentTakesOneAllocationOfItsSize(t *testing.T) {
	keys, names := make([]int32, 1000), make([]string, 1000)
	for i := range keys {
		keys[i], names[i] = int32(math.MinInt32+i*4_000_000), "key "+strconv.Itoa(i)
	}
	for op, args := range map[Operation]Arguments{
		ForceResync:         {Connection: math.MinInt32, Keys: keys, Stated: ConnectionProperty | InternalKeysProperty},
		ForceResyncExternal: {Connection: math.MinInt32, ExternalKeys: names, ActorType: strings.Repeat("a", 100), Stated: ConnectionProperty | ActorTypeProperty | ExternalKeysProperty},
	} {
		if n := testing.AllocsPerRun(10, func() { Document(op, args) }); n != 1 {
			t.Errorf("%s: %v allocations", op, n)
		}
		if document := Document(op, args); cap(document) > len(document)+len(document)/8+128 {
			t.Errorf("%s: %d bytes for a document of %d", op, cap(document), len(document))
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Document(ForceResync, seedArguments)
	}
}
