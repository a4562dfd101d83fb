package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func init() {
	command.Add(statusCommand)
	command.Add(checkCommand)
	command.Add(tenantsCommand)
	command.Add(revokeCommand)
}

// maxAnswer bounds what a gateway may answer: ten thousand tenants fit.
const maxAnswer = 64 << 20

// gateway is the running Caddy that a command asks.
type gateway struct{ address string }

func (g *gateway) flags(flags *pflag.FlagSet) {
	flags.StringVar(&g.address, "address", caddy.DefaultAdminListen, "the gateway's admin endpoint, as the global option admin names it, such as unix//run/caddy/admin.sock; CADDY_ADMIN sets it too")
}

// environmentFlag says which app of a name is meant.
func environmentFlag(flags *pflag.FlagSet, environment *string) {
	flags.StringVar(environment, "environment", "", "where the app stands in several environments: online, stage, sod, or a base URL or upstream as configured")
}

// ask sends in, nil for nothing, and reads the answer into out. An error says what the gateway said.
func (g *gateway) ask(_ context.Context, method, uri string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	resp, err := caddycmd.AdminAPIRequest(g.address, method, uri, nil, body)
	if err != nil {
		return fmt.Errorf("the gateway at %s: %w", g.address, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if json.Unmarshal(answer, out) != nil {
		return fmt.Errorf("what listens at %s does not answer as a gateway with erpsync", g.address)
	}
	return nil
}

// Exit codes beside 0 and the 1 of a command that could not do its work.
const needsAttention = 2

// errAttention ends a command that did its work and found something that somebody has to look at.
var errAttention = errors.New("needs attention")

// run has a command end with needsAttention for errAttention. Caddy's own wrapper is the only way to an exit code.
func run(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := do(cmd, args)
		if !errors.Is(err, errAttention) {
			return err
		}
		cmd.SilenceErrors = true
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return needsAttention, nil })(cmd, args)
	}
}

// printJSON writes a value for scripts.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
