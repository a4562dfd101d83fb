package erpsync

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// onlineApp is the least that is taken Online, with a place for what goes wrong in the app and after it.
const onlineApp = `app a {
	client_id x
	client_secret y
	agents ErpSync
	{tenant}
	{app}
}
browser {
	{browser}
}
{more}`

// mistake is a configuration that cannot be right, with the whole message that the operator reads.
type mistake struct {
	app, tenant, browser, more string // in onlineApp
	whole                      string // in place of onlineApp
	says                       string
}

func (m mistake) config() string {
	if m.whole != "" {
		return m.whole
	}
	tenant := m.tenant
	if tenant == "" {
		tenant = "tenant *"
	}
	return strings.NewReplacer("{tenant}", tenant, "{app}", m.app, "{browser}", m.browser, "{more}", m.more).Replace(onlineApp)
}

// service is a provider whose tokens call for an app with a system user, with these options.
func service(options string) string {
	return "app b {\nclient_secret y\nprivate_key z\ntenant *\ncall_as system\n}\njwt https://i {\napp b\n" + options + "\n}"
}

// onsiteService is the same onsite, where no secret has to be in order before files are read.
func onsiteService(options string) string {
	return "upstream https://a\napp b {\ncall_as account u p\n}\njwt https://i {\naudience x\n" + options + "\n}"
}

// Each mistake is one example of a kind. Read the messages aloud before changing one.
var mistakes = map[string]mistake{
	"nothing":                      {whole: " ", says: "no app is configured, so that every call would be refused: add app <name> { … }"},
	"two places of SuperOffice":    {whole: "environment online\nupstream https://a", says: "upstream and environment exclude each other: upstream is for onsite, environment for Online"},
	"an environment over http":     {whole: "environment http://superoffice.example", says: `environment "http://superoffice.example": want https; plain http is taken on loopback only`},
	"an upstream with a query":     {whole: "upstream https://a?x", says: `upstream "https://a?x": want the plain URL of the WebAPI's host and directory, for example https://crm.example.com/crm7`},
	"an upstream with a version":   {whole: "upstream https://a/crm7/api/v1", says: `upstream "https://a/crm7/api/v1": leave out /api/v1; the gateway adds it`},
	"an app that is empty":         {whole: "app a", says: "app a: no tenant is named, so that every call would be refused: add tenant <CustNNNNN>, tenant *, or tenants file <path>"},
	"an app twice":                 {whole: "app a {\ntenant *\n}\napp a {\ntenant *\n}", says: "app a: configured twice"},
	"an app that nobody reaches":   {whole: "app a {\ntenant *\n}", says: "app a: no caller can reach it: add browser, jwt or superoffice with app a"},
	"another one that nobody does": {more: "app b {\ntenant *\n}", browser: "app a", says: "app b: no caller can reach it: add browser, jwt or superoffice with app b"},
	"which app is not said":        {more: "app b {\ntenant *\n}", says: "browser: say which app it is for: app <name>"},
	"an app that there is not":     {browser: "app A", says: `browser: app "A": no app has that name; did you mean a?`},

	"an agent misspelled":            {app: "agents ErpSynk", whole: "app a {\nagents ErpSynk\n}", says: `app a: agents: there is no restricted agent "ErpSynk"; did you mean ErpSync?`},
	"an agent in another case":       {whole: "app a {\nagents erpsync\n}", says: `app a: agents: there is no restricted agent "erpsync"; did you mean ErpSync?`},
	"an operation for nobody":        {app: "operations DeleteConnection", says: "app a: operations: DeleteConnection cannot be granted; want some of ForceResync, ForceResyncNoBlankValues, ForceResyncBatchTask, ForceResyncExternal, ForceResyncExternalNoBlankValues, SyncAll, ForceSyncAll, GetEngineStatus"},
	"an operation misspelled":        {app: "operations ForceResycBatchTask", says: "app a: operations: ForceResycBatchTask cannot be granted; did you mean ForceResyncBatchTask?"},
	"a connection that is no number": {app: "connections x", says: `app a: connections "x": want a connection's number, or crm`},
	"resync_all misspelled":          {app: "resync_all maybe", says: `app a: resync_all "maybe": want deny, confirm or allow`},
	"idempotency with a duration":    {app: "idempotency 48h", says: `app a: idempotency "48h": want required; how long answers are kept is an option of guard`},
	"lookups with a word":            {app: "lookups yes", says: `app a: lookups "yes": want on, or leave it out`},
	"users admins":                   {app: "users admins", says: `app a: users: "admins" is neither administrators nor all, a UPN (tove@example.com) or associate:<id>; did you mean administrators?`},
	"users everybody":                {app: "users everybody", says: `app a: users: "everybody" is neither administrators nor all, a UPN (tove@example.com) or associate:<id>`},
	"users all and one":              {app: "users all tove@uno.example", says: "app a: users: all stands alone, without further names"},
	"call_as misspelled":             {app: "call_as nobody", says: `app a: call_as "nobody": want user, system or account`},
	"call_as system without a key":   {app: "call_as system", says: "app a: call_as system needs client_secret and private_key"},
	"call_as account Online":         {app: "call_as account u p", says: "app a: call_as account: SuperOffice Online takes no service account; use call_as user or system"},
	"call_as system onsite":          {whole: "upstream https://a\napp a {\ncall_as system\n}\nsuperoffice session", says: "app a: call_as system: the system user is Online's; onsite, use call_as account"},

	"a tenant of another form": {tenant: "tenant X", says: "app a: tenant X: want the form Cust12345, or *"},
	"a tenant twice":           {tenant: "tenant Cust1\n\ttenant cust1", says: "app a: tenant cust1: specified more than once"},
	"a token for every tenant": {tenant: "tenant * x", says: "app a: tenant *: a system token belongs to one tenant: name it"},
	"notices onsite":           {whole: "upstream https://a\napp a {\ntenant_status\n}\nsuperoffice session", says: "app a: tenant_status: SuperOffice sends notices of Online's tenants only"},
	"notices without an id":    {whole: "app a {\ntenant *\ntenant_status\n}\nsuperoffice bearer", says: "app a: tenant_status: needs client_id, which says for which app a notice is"},
	"an upgrade of days":       {app: "tenant_status {\nupgrade_for 48h\n}", says: "app a: tenant_status: upgrade_for 48h0m0s: want a duration of up to 24h0m0s"},
	"notices with a word":      {app: "tenant_status on", says: `wrong arguments of "tenant_status"; write: tenant_status { … }, with upgrade_for <duration> or nothing (an environment variable that is not set leaves nothing)`},
	"a tenant onsite":          {whole: "upstream https://a\napp a {\ntenant *\n}\nsuperoffice session", says: "app a: tenant: an onsite installation has none"},
	"tenants without file":     {tenant: "tenants x", says: `wrong arguments of "tenants"; write: tenants file <path> (an environment variable that is not set leaves nothing)`},

	"sign-in onsite":              {whole: "upstream https://a\napp a\nbrowser", says: "browser: sign-in with SuperID is for Online; onsite, let SuperOffice's own session in: superoffice session"},
	"sign-in without a client id": {whole: "app a {\ntenant *\n}\nbrowser", says: "browser: app a needs client_id and client_secret"},
	"two kinds of session":        {more: "superoffice session", says: "browser: cannot be combined with superoffice session: both would use the cookie XSRF-TOKEN on this host"},
	"an origin with port 443":     {browser: "origins https://pages.example:443", says: `browser: origins "https://pages.example:443": want scheme://host[:port] in lower case, without a default port, https beyond loopback`},
	"a header that is none":       {browser: "allow_headers X-Ours:", says: `browser: allow_headers "X-Ours:": want the name of a header`},
	"a public URL over http":      {more: "public_url http://erpsync.example.com", says: `public_url "http://erpsync.example.com": want scheme://host[:port][/path] in lower case, without a default port, https beyond loopback`},
	"a public URL with a query":   {more: "public_url https://erpsync.example.com/?x", says: `public_url "https://erpsync.example.com/?x": want scheme://host[:port][/path] in lower case, without a default port, https beyond loopback`},
	"an origin over http":         {browser: "origins http://pages.example", says: `browser: origins "http://pages.example": want scheme://host[:port] in lower case, without a default port, https beyond loopback`},
	"any origin":                  {browser: "origins *", says: `browser: origins "*": want scheme://host[:port] in lower case, without a default port, https beyond loopback`},
	"idle longer than lifetime":   {browser: "idle 25h", says: "browser: idle 25h0m0s is longer than lifetime 24h0m0s, which ends every session"},
	"idle in two words":           {browser: "idle 1 hour", says: `wrong arguments of "idle"; write: idle <duration>, such as 30s or 8h (an environment variable that is not set leaves nothing)`},
	"idle without a unit":         {browser: "idle 60", says: `invalid duration "60": must be positive and have a unit, such as 30s or 8h`},
	"a prefix of the WebAPI":      {browser: "prefix /api", says: `browser: prefix "/api" lies among the paths of SuperOffice's WebAPI; take another, such as /erpsync`},
	"a prefix of a tenant":        {browser: "prefix /Cust12345/x", says: `browser: prefix "/Cust12345/x" lies among the paths of SuperOffice's WebAPI; take another, such as /erpsync`},
	"a prefix of the agent":       {browser: "prefix /x/agents/erpsync", says: `browser: prefix "/x/agents/erpsync" lies among the paths of SuperOffice's WebAPI; take another, such as /erpsync`},
	"a prefix with an escape":     {browser: "prefix /a%20b", says: `browser: prefix "/a%20b": want a plain path such as /erpsync`},

	"superoffice with a new word": {more: "superoffice ntlm", says: `superoffice: unknown scheme "ntlm"; want session, bearer, soticket or basic`},
	"basic Online":                {more: "superoffice basic", says: "superoffice: basic is taken onsite only; SuperOffice Online refuses it"},

	"a jwt without an audience":       {whole: service("tenant Cust1"), says: "jwt https://i: audience is required: without it a token made for any other service would be taken"},
	"a jwt with audience and client":  {whole: service("audience x\nclient_id y\ntenant Cust1"), says: "jwt https://i: audience and client_id exclude each other: client_id is for tokens without aud; use require client_id <id> beside an audience"},
	"a jwt without a tenant":          {whole: service("audience x"), says: "jwt https://i: say which tenant its tokens call in: tenant <CustNNNNN>, tenant claim <claim>, or tenant path"},
	"a jwt with a tenant misspelled":  {whole: service("audience x\ntenant Kunde"), says: `jwt https://i: tenant "Kunde": want the form Cust12345, path, or claim <claim>`},
	"a jwt with two words for tenant": {whole: service("audience x\ntenant path /"), says: `wrong arguments of "tenant"; write: tenant <CustNNNNN>|path|claim <claim> (an environment variable that is not set leaves nothing)`},
	"a jwt with a tenant onsite":      {whole: "upstream https://a\napp a {\ncall_as account u p\n}\njwt https://i {\naudience x\ntenant path\n}", says: "jwt https://i: tenant: an onsite installation has none"},
	"a path's tenant for any":         {whole: service("audience x\ntenant path"), says: "jwt https://i: tenant path: app b lists no tenant by name, so that every call would be refused: add tenant <CustNNNNN> or tenants file <path> to it"},
	"a jwt for a person's app":        {more: "jwt https://i {\naudience x\ntenant Cust1\napp a\n}", says: "jwt https://i: app a has call_as user, and a token of this provider belongs to no SuperOffice user: give the app call_as system, or account onsite"},
	"keys over http":                  {whole: service("audience x\ntenant Cust1\njwks http://localhost.attacker.example/k"), says: "jwt https://i: jwks http://localhost.attacker.example/k: want https, or the keys could be replaced on the way"},
	"keys from nowhere":               {whole: strings.Replace(service("audience x\ntenant Cust1"), "https://i", "idp", 1), says: "jwt idp: jwks is required, the URL or the file of its keys: the issuer is no https URL that could be asked for them"},
	"keys in a file that has none":    {whole: onsiteService("jwks {dir}/open"), says: "jwt https://i: jwks file {dir}/open: not a JWK set: not valid JSON"},
	"keys in no file":                 {whole: onsiteService("jwks {dir}/none"), says: "jwt https://i: jwks file {dir}/none: no such file or directory"},
	"a CA that is none":               {whole: onsiteService("trust {dir}/open"), says: "jwt https://i: trust {dir}/open: holds no certificate in PEM"},
	"HMAC":                            {whole: service("audience x\ntenant Cust1\nalgorithms HS256"), says: "jwt https://i: algorithms HS256: want some of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"},
	"everybody's subjects":            {whole: service("audience x\ntenant Cust1\nsubjects *"), says: "jwt https://i: subjects *: leave subjects out to let in every subject of the audience"},
	"a requirement of nothing":        {whole: service("audience x\ntenant Cust1\nrequire scope"), says: `wrong arguments of "require"; write: require <claim> <value...> (an environment variable that is not set leaves nothing)`},
	"everybody's GitHub":              {whole: strings.Replace(service("audience x\ntenant Cust1"), "https://i", "https://token.actions.githubusercontent.com", 1), says: "jwt https://token.actions.githubusercontent.com: everybody can get a token of this issuer for any audience: say who may call, with subjects or require"},
	"an audience twice":               {whole: service("audience x\ntenant Cust1") + "\njwt https://i {\naudience y x\ntenant Cust2\napp b\n}", says: `jwt https://i: audience "x" is in two of its blocks, which are told apart by it`},

	"guard in one line":   {more: "guard max_body 2MiB", says: `wrong arguments of "guard"; write: guard { … }, with an option on each line (an environment variable that is not set leaves nothing)`},
	"in_flight of what":   {more: "guard {\nin_flight 4\n}", says: `wrong arguments of "in_flight"; write: in_flight connection|tenant|app <number>|off (an environment variable that is not set leaves nothing)`},
	"a rate with a unit":  {more: "guard {\nrate 10/s\n}", says: `rate "10/s": want calls per second above zero, or off`},
	"a body of two bytes": {more: "guard {\nmax_body 2\n}", says: "guard: max_body 2 B: no call fits into it; write the unit, such as 2MiB"},
	"an unknown size":     {more: "guard {\nmax_body x\n}", says: `invalid size "x": must be positive, such as 2097152 or 2MiB`},
	"async in words":      {more: "guard {\nasync few\n}", says: `async "few": want a number above zero, or off`},
	"async of none":       {more: "guard {\nasync 0\n}", says: `async "0": want a number above zero, or off`},
	"async of two":        {more: "guard {\nasync 1 2\n}", says: `wrong arguments of "async"; write: async <number>|off (an environment variable that is not set leaves nothing)`},
	"an unknown option":   {more: "guard {\nidempotent 1h\n}", says: `unknown option "idempotent"; did you mean idempotency?`},
	"audit misspelled":    {more: "audit {\nprincipals none\n}", says: `audit: principals "none": want full, hash or omit`},

	"a store without address":         {more: "store redis", says: "store redis: address: say where it is, host:port or unix//path"},
	"a store without port":            {more: "store redis {\naddress localhost\n}", says: "store redis: address localhost: want host:port or unix//path"},
	"a store at half a path":          {more: "store redis {\naddress unix/redis.sock\n}", says: "store redis: address unix/redis.sock: want unix//path, with the whole path"},
	"a socket and a server":           {more: "store redis {\naddress unix//run/redis.sock one:6379\ncluster\n}", says: "store redis: address: a unix socket leads to one Redis on this machine; it stands alone, without sentinel and cluster"},
	"a socket with TLS":               {more: "store redis {\naddress unix//run/redis.sock\ntls\n}", says: "store redis: tls: Redis speaks none at a unix socket; take it out"},
	"a certificate without TLS":       {more: "store redis {\naddress one:6379\ntls_client_auth /none/cert /none/key\n}\nkeys 0123456789abcdef0123456789abcdef", says: "store redis: tls_client_auth: a certificate is shown over TLS alone; add tls"},
	"a certificate that is not there": {more: "store redis {\naddress one:6379\ntls\ntls_client_auth /none/cert /none/key\n}\nkeys 0123456789abcdef0123456789abcdef", says: "store redis: tls_client_auth: file /none/cert: no such file or directory"},
	"a store without keys":            {more: "store redis {\naddress localhost:6379\n}", says: "store redis: needs keys: every gateway has to open what another sealed, and a restart must not lose them"},
	"a store at two addresses":        {more: "store redis {\naddress one:6379 two:6379\n}", says: "store redis: address: 2 addresses; say what they are, sentinel <master> or cluster: two Redis servers that know nothing of each other cannot be shared"},
	"a store with too little time":    {more: "store redis {\naddress one:6379\ntimeout 10ms\n}", says: "store redis: timeout 10ms: want 50ms to 5s"},
	"a store with too much time":      {more: "store redis {\naddress one:6379\ntimeout 10s\n}", says: "store redis: timeout 10s: want 50ms to 5s"},
	"a store that is both":            {more: "store redis {\naddress one:6379\ncluster\nsentinel main\n}", says: "store redis: sentinel and cluster: a Cluster promotes replicas by itself; say one of them"},
	"an audit that no log takes":      {more: "audit {\nrequired\n}", says: "audit: required: no log takes the logger http.handlers.erpsync.audit at level INFO"},
	"a store without password":        {more: "store redis {\naddress localhost:6379\nusername x\n}\nkeys 0123456789abcdef0123456789abcdef", says: "store redis: username without password"},
	"a short key":                     {more: "keys short", says: "keys: key 1 has 5 bytes, want at least 32"},
	"transport of another kind":       {more: "transport fastcgi", says: "transport fastcgi: want http"},
	"a transport with proxy_protocol": {more: "transport http {\nproxy_protocol v2\n}", says: "transport: proxy_protocol cannot work here: calls are the gateway's own, not the client's"},

	"a secret that is not set":         {whole: "app a {\nclient_id x\nclient_secret {env.ERPSYNC_NOT_SET}\nagents ErpSync\ntenant *\n}\nbrowser", says: "app a: client_secret: the placeholder in it has no value (is the variable set, or the file there?): evaluated placeholder {env.ERPSYNC_NOT_SET} is empty"},
	"a secret that all may read":       {whole: "app a {\nclient_id x\nclient_secret {file.{dir}/open}\nagents ErpSync\ntenant *\n}\nbrowser", says: "app a: client_secret: {dir}/open is readable by everybody: chmod o-r it, or close a directory above it to others"},
	"a private key that is none":       {app: "private_key y\n\tcall_as system", says: "app a: private_key: want PEM or <RSAKeyValue> XML"},
	"a client secret that is not set":  {whole: "app a {\nclient_id x\nclient_secret {$ERPSYNC_NOT_SET}\nagents ErpSync\ntenant *\n}\nbrowser", says: `wrong arguments of "client_secret"; write: client_secret <secret> (an environment variable that is not set leaves nothing)`},
	"a tenants file that is empty":     {tenant: "tenants file {dir}/empty", says: `app a: tenants file {dir}/empty: it is empty; to allow none, write {"tenants": []}`},
	"a tenants file with a BOM":        {tenant: "tenants file {dir}/bom", says: "app a: tenants file {dir}/bom: line 1: begins with a byte order mark; save it as plain text (UTF-8 without BOM)"},
	"a tenants file with a comment":    {tenant: "tenants file {dir}/comment", says: "app a: tenants file {dir}/comment: line 2, column 1: JSON has no comments; take it out"},
	"a tenants file that is a list":    {tenant: "tenants file {dir}/list", says: `app a: tenants file {dir}/list: line 1: a list, want an object that holds it: {"tenants": [ … ]}`},
	"a tenants file of another shape":  {tenant: "tenants file {dir}/shape", says: "app a: tenants file {dir}/shape: line 1, column 13: tenants is of the wrong kind (object), want a list"},
	"a tenants file that is a text":    {tenant: "tenants file {dir}/text", says: `app a: tenants file {dir}/text: line 1, column 7: string, want an object: {"tenants": [ … ]}`},
	"a tenants file that is cut short": {tenant: "tenants file {dir}/cut", says: "app a: tenants file {dir}/cut: line 2, column 10: the file ends before its closing brace"},
	"a tenants file with a comma":      {tenant: "tenants file {dir}/comma", says: "app a: tenants file {dir}/comma: line 1, column 32: unexpected ']'; a comma too many or a value too few"},
	"a tenants file with a new word":   {tenant: "tenants file {dir}/word", says: `app a: tenants file {dir}/word: line 1, column 28: there is no property "id"`},
	"a tenants file that is not there": {tenant: "tenants file {dir}/none", says: "app a: tenants file {dir}/none: no such file or directory"},
}

func TestAMistakeIsNamedWhereItIsMadeAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/open", "secret")
	for _, path := range []string{dir, filepath.Dir(dir)} { // what only its owner can enter closes what lies in it
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // that is the point
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir+"/open", 0o644); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty": "\n", "bom": "\ufeff{\"tenants\":[]}", "comment": "{\n// ours\n\"tenants\":[]}", "list": `[{"tenant":"Cust1"}]`, "shape": `{"tenants": {"Cust1": {}}}`, "text": `"Cust1"`,
		"cut": "{\"tenants\": [\n{\"tenant\":", "comma": `{"tenants":[{"tenant":"Cust1"},]}`, "word": `{"tenants":[{"id":"Cust1"}]}`,
	} {
		write(t, dir+"/"+name, content)
	}
	in := strings.NewReplacer("{dir}", dir)
	for _, name := range slices.Sorted(maps.Keys(mistakes)) {
		m := mistakes[name]
		_, err := provision(t, in.Replace(m.config()), zap.NewNop())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		// A mistake in the text alone is told with its file and line.
		got, _, _ := strings.Cut(err.Error(), ", at Testfile:")
		if want := in.Replace(m.says); got != want {
			t.Errorf("%s:\n\tsays %s\n\twant %s", name, got, want)
		}
		t.Logf("| %s | %s |", name, strings.ReplaceAll(got, dir, "{dir}"))
	}
}

func TestAnIssuerThatIsNoURLIsWarnedOf(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]int{"idp": 1, "idp.example": 1, "https://idp.example": 0} {
		core, logs := observer.New(zap.WarnLevel)
		config := strings.Replace(onsiteService("jwks https://keys.example/k"), "jwt https://i", "jwt "+issuer, 1)
		if _, err := provision(t, config, zap.New(core)); err != nil {
			t.Fatal(err)
		}
		if got := logs.FilterMessage("issuer is no URL; it must be exactly the iss of its tokens").Len(); got != want {
			t.Errorf("%s: %d warnings, want %d", issuer, got, want)
		}
	}
}

// goodSecret is 40 bytes, so that it is taken for a key too.
const goodSecret = "0123456789abcdef0123456789abcdef01234567"

// TestEveryOptionThatHoldsASecretIsJudged has a byte order mark before each.
func TestEveryOptionThatHoldsASecretIsJudged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/bom", "\ufeff"+goodSecret)
	const placeholder = "{file.{dir}/bom}"
	says := "file {dir}/bom begins with a byte order mark; save it as plain text (UTF-8 without BOM)"
	in := strings.NewReplacer("{dir}", dir)
	for name, c := range map[string]struct{ config, at string }{
		"client_id":         {"app a {\nclient_id " + placeholder + "\nclient_secret y\nagents ErpSync\ntenant *\n}\nbrowser", "app a: client_id: "},
		"client_secret":     {"app a {\nclient_id x\nclient_secret " + placeholder + "\nagents ErpSync\ntenant *\n}\nbrowser", "app a: client_secret: "},
		"system_token":      {"app a {\nclient_id x\nclient_secret y\nagents ErpSync\ntenant Cust1 " + placeholder + "\n}\nbrowser", "app a: tenant Cust1: system_token: "},
		"call_as account":   {"upstream https://a\napp a {\ncall_as account u " + placeholder + "\n}\nsuperoffice session", "app a: call_as account: "},
		"keys":              {mistake{more: "keys " + placeholder}.config(), "keys: "},
		"password":          {mistake{more: "store redis {\naddress localhost:6379\npassword " + placeholder + "\n}\nkeys " + goodSecret}.config(), "store redis: password: "},
		"sentinel password": {mistake{more: "store redis {\naddress localhost:6379\nsentinel m " + placeholder + "\n}\nkeys " + goodSecret}.config(), "store redis: sentinel: "},
	} {
		_, err := provision(t, in.Replace(c.config), zap.NewNop())
		if want := in.Replace(c.at + says); err == nil || err.Error() != want {
			t.Errorf("%s: %v\n\twant %s", name, err, want)
		} else {
			t.Log(err)
		}
	}
}
