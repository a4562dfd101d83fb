package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/internal/demo"
	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// erpsync runs a command of `caddy erpsync` and gives what it printed and how it ended.
func erpsync(t *testing.T, binary, stdin string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"erpsync"}, args...)...) //nolint:gosec // just built
	cmd.Stdin = strings.NewReader(stdin)
	var printed, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return printed.String() + problems.String(), cmd.ProcessState.ExitCode()
}

// noneInClear looks for secrets in every file below a folder.
func noneInClear(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path) //nolint:gosec // the test's own folder
		files++
		for _, secret := range secrets {
			if secret != "" && bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s holds a system token in clear", path)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files searched: %v", files, err)
	}
}

// TestThreeHundredTenantsComeInAreCheckedAndLeave is a partner's year with the commands of `caddy erpsync`, on the two gateways of docs/examples/cluster.Caddyfile.
func TestThreeHundredTenantsComeInAreCheckedAndLeave(t *testing.T) {
	const many = 300
	c := newCluster(t, "", sandbox.WithTenants(many))
	one, two := c.gateways[0], c.gateways[1]
	admin := func(p *process) string { return "--address=unix/" + p.dir + "/admin.sock" }
	run := func(stdin string, args ...string) (string, int) { return erpsync(t, one.cmd.Path, stdin, args...) }

	// The tenants file names them; their system tokens are on a spreadsheet.
	var file []map[string]any
	sheet := strings.Builder{}
	sheet.WriteString("\xef\xbb\xbfTenant;Name;System_token\r\n")
	var tokens []string
	for i := range many {
		id := sandbox.FurtherTenant(i)
		token := c.so.SystemToken("erp", id)
		tokens = append(tokens, token)
		file = append(file, map[string]any{"tenant": id, "name": fmt.Sprintf("Customer %d AS", i+1)})
		fmt.Fprintf(&sheet, "%s;Customer %d AS;%s\r\n", id, i+1, token)
	}
	grants := func() {
		t.Helper()
		raw, err := json.Marshal(map[string]any{"tenants": file})
		if err != nil {
			t.Fatal(err)
		}
		c.write("tenants.json", string(raw))
	}
	grants()
	eventually(t, func() bool {
		for _, p := range c.gateways {
			if out, _ := erpsync(t, p.cmd.Path, "", "status", "--json", admin(p)); strings.Count(out, `"tenant"`) != many {
				return false
			}
		}
		return true
	})

	broken := strings.Replace(sheet.String(), "Cust20007;", "Cust-20007;", 1)
	if out, code := run(broken, "tenants", "import", "erp", admin(one)); code != 2 || !strings.Contains(out, "Nothing was kept: 1 line of 300 wrong") || !strings.Contains(out, "wrong: the tenant is not of the form Cust12345") {
		t.Errorf("a broken sheet: %d %s", code, out)
	}
	began := time.Now()
	out, code := run(sheet.String(), "tenants", "import", "erp", admin(one))
	if code != 0 || !strings.Contains(out, "300 system tokens kept: 300 added, 0 replaced, 0 unchanged.") {
		t.Fatalf("%d %s", code, out)
	}
	t.Logf("300 tenants imported in %s", time.Since(began))

	// Four of them are not as they should be.
	moved, stopped, expired, wrong := sandbox.FurtherTenant(10), sandbox.FurtherTenant(20), sandbox.FurtherTenant(30), sandbox.FurtherTenant(40)
	if out, code := run("", "check", "erp", moved, admin(two)); code != 0 || !strings.Contains(out, "612 Visma") {
		t.Fatalf("%d %s", code, out)
	}
	c.so.Move(moved, c.elsewhere)
	c.so.SetState(stopped, "Suspended")
	c.so.Revoke("erp", expired)
	if out, code := run(`[{"tenant":"`+wrong+`","system_token":"Somebody else's-0815"}]`, "tenants", "import", "erp", admin(two)); code != 0 || !strings.Contains(out, "1 replaced") {
		t.Fatalf("%d %s", code, out)
	}
	began = time.Now()
	out, code = run("", "check", "erp", "--all", admin(two))
	if code != 2 || !strings.Contains(out, "297 well, 3 failed") {
		t.Errorf("%d %s", code, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Logf("300 tenants checked in %s: %s", time.Since(began), lines[len(lines)-1])
	for tenant, want := range map[string][]string{
		moved:   {"ok"},
		stopped: {"state failed", "tenant_not_running (Suspended)", "wait, or ask SuperOffice"},
		expired: {"credential failed", "consent_required", "The consent has expired", "/erpsync/approve?app=erp&tenant=" + expired},
		wrong:   {"credential failed", "consent_required", "The system token is not valid", "import the right token", "/erpsync/approve?app=erp&tenant=" + wrong},
	} {
		var said string
		for i, line := range lines {
			if strings.HasPrefix(line, tenant) {
				said += line + "\n"
				for _, more := range lines[i+1:] {
					if !strings.HasPrefix(more, " ") {
						break
					}
					said += strings.TrimSpace(more) + " "
				}
			}
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(strings.Fields(said), " "), w) {
				t.Errorf("%s: no %q in:\n%s", tenant, w, said)
			}
		}
	}
	if out, _ := run("", "status", moved, admin(two)); !strings.Contains(out, strings.TrimPrefix(c.elsewhere, "http://")) {
		t.Errorf("the tenant that moved: %s", out)
	}
	out, code = run("", "status", "--attention", admin(two))
	if code != 2 || strings.Count(out, "\nCust") != 6 { // a row and what to do, for each of three
		t.Errorf("%d %s", code, out)
	}
	t.Logf("caddy erpsync status --attention:\n%s", out)
	out, code = run("", "status", expired, admin(two))
	if code != 2 || !strings.Contains(out, two.url+"/erpsync/approve?app=erp&tenant="+expired) {
		t.Errorf("%d %s", code, out)
	}
	t.Logf("caddy erpsync status %s:\n%s", expired, out)

	// The customer's administrator follows the link at one gateway; calls at both succeed.
	if status, page, err := demo.Approve(t.Context(), one.url, c.so, "erp", expired, "tove"); err != nil || status != http.StatusOK {
		t.Fatalf("%v %d %s", err, status, page)
	}
	service := func(tenant string) http.Header {
		return http.Header{"Authorization": {"Bearer " + c.provider.Token(tenant, time.Hour)}}
	}
	path := func(tenant string) string { return strings.Replace(resync, "Cust12345", tenant, 1) }
	for _, p := range c.gateways {
		eventually(t, func() bool { // the other gateway looks again two seconds after a refusal
			status, _ := c.call(p, http.MethodPost, path(expired), service(expired))
			return status == http.StatusOK
		})
	}

	// A customer leaves: no call passes, nothing of it is left, at either gateway, at once.
	leaves := sandbox.FurtherTenant(50)
	for _, p := range c.gateways {
		if status, body := c.call(p, http.MethodPost, path(leaves), service(leaves)); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	mints := c.so.Mints("ticket")
	if out, code := run("", "revoke", "--tenant", leaves, admin(one)); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	for _, p := range c.gateways {
		if status, body := c.call(p, http.MethodPost, path(leaves), service(leaves)); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	if n := c.so.Mints("ticket"); n != mints+1 {
		t.Errorf("%d tickets after a revocation, %d before: want one new one for both", n, mints)
	}
	for i := range file {
		if file[i]["tenant"] == leaves {
			file[i]["suspended"] = true
		}
	}
	grants()
	for _, p := range c.gateways {
		eventually(t, func() bool {
			status, body := c.call(p, http.MethodPost, path(leaves), service(leaves))
			return status == http.StatusForbidden && strings.Contains(body, "tenant_suspended")
		})
	}
	if out, code := run("", "tenants", "remove", "erp", leaves, admin(two)); code != 0 || !strings.Contains(out, "removed: "+leaves) {
		t.Errorf("%d %s", code, out)
	}
	out, _ = run("", "tenants", "list", "erp", admin(one))
	if !strings.Contains(out, "300 tenants") || strings.Count(out, "  import ") != 298 || strings.Count(out, "  approval ") != 1 {
		t.Errorf("%s", out)
	}

	// A backup is taken, everything is lost, and it is put back.
	backup, code := run("", "tenants", "export", "erp", admin(one))
	if code != 0 || strings.Count(backup, `"sealed"`) != 299 {
		t.Fatalf("%d %.500s", code, backup)
	}
	for _, token := range tokens {
		if strings.Contains(backup, token) {
			t.Fatal("the backup holds a system token in clear")
		}
	}
	noneInClear(t, filepath.Join(c.dir, "storage"), tokens...)
	if err := os.RemoveAll(filepath.Join(c.dir, "storage", "erpsync")); err != nil {
		t.Fatal(err)
	}
	if out, code := run(backup, "tenants", "import", "erp", admin(two)); code != 0 || !strings.Contains(out, "299 system tokens kept") {
		t.Errorf("%d %s", code, out)
	}
	if dump := c.redis.Dump(); strings.Contains(dump, "Sandbox erp-") {
		t.Error("a system token lies in Redis in clear")
	}
	if out, code := run("tenant,system_token\nCust1,x\n", "tenants", "import", "portal", admin(one)); code != 1 || !strings.Contains(out, "app portal keeps no system tokens") {
		t.Errorf("%d %s", code, out)
	}
	for _, args := range [][]string{{"status", "nonsense"}, {"check", "erp"}, {"check", "nobody", "Cust1"}} {
		if out, code := run("x", append(args, admin(one))...); code != 1 {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}
