package demo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// introduce writes what goes on from here: the address, how to start a gateway before it, and one call.
func (s *runningSandbox) introduce(out io.Writer, o sandboxOptions) {
	tove, per := s.User("Cust12345", "tove"), s.User("Cust12345", "per")
	config, call := s.online(o)
	administrator, person, visit := tove.UPN, per.UPN, "Sign in at             http://localhost:8080/\n"
	if o.onsite != "" {
		visit = ""
		config, call = s.atOffice(o)
		administrator, person = tove.Name, per.Name
	}
	fmt.Fprintf(out, `SuperOffice (sandbox)  %s%s
Sign in as             %s, password %s (administrator)
                       %s, password %s
Start a gateway        %s
%sCall it                %s
Change the sandbox     curl %s%s --json '{"switches":{"fault":"401","fault_times":1}}'

Its secrets are in %s and stay over a restart: a running gateway goes on.
`, s.Base(), o.onsite, administrator, tove.Password, person, per.Password, config, visit, call, s.Base(), sandbox.ControlPath, o.secrets)
}

const callBody = ` -H 'Content-Type: application/json' -d '` + seedBody + `'`

// online returns the command that starts a gateway before SuperOffice Online, and a service's call.
func (s *runningSandbox) online(o sandboxOptions) (config, call string) {
	config = program() + " run --config Caddyfile.example"
	if o.secrets != defaultSecrets {
		dir := quote(o.secrets)
		config = fmt.Sprintf("ERPSYNC_SECRETS=%s ERPSYNC_LOGS=%s ERPSYNC_RUN=%s %s", dir, dir, dir, config)
	}
	if s.Base() != "http://"+defaultListen {
		config = "ERPSYNC_ENVIRONMENT=" + s.Base() + " " + config
	}
	token := quote(filepath.Join(o.secrets, "service.token"))
	return config, `curl -i http://localhost:8080` + path + ` -H "Authorization: Bearer $(cat ` + token + `)"` + callBody
}

// atOffice is online for a gateway before an onsite installation, which it writes the Caddyfile of.
func (s *runningSandbox) atOffice(o sandboxOptions) (config, call string) {
	file := filepath.Join(o.secrets, "onsite.Caddyfile")
	content := fmt.Sprintf(`# A gateway before the sandbox's onsite installation, written by caddy erpsync sandbox.
{
	admin off
	persist_config off
}

http://localhost:8080 {
	erpsync {
		upstream %s%s
		app office {
			agents ErpSync
			call_as user
		}
		superoffice session basic
	}
	error 404
}
`, s.Base(), o.onsite)
	if err := writeFile(file, []byte(content)); err != nil {
		return "cannot be told: " + err.Error(), ""
	}
	return program() + " run --config " + quote(file),
		fmt.Sprintf(`curl -i http://localhost:8080%s/api/v1/Agents/ErpSync/ForceResync -u tove:%s`, o.onsite, s.User("Cust12345", "tove").Password) + callBody
}

// program returns how this program was started: go run builds it in a folder that is gone afterwards.
func program() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cmd/caddy"
	}
	return quote(os.Args[0])
}

// quote quotes a word for a shell if it has to be.
func quote(word string) string {
	for _, c := range word {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@=-", c) {
			return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return word
}
