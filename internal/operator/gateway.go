// Package operator holds the commands with which an operator looks after a running gateway over its
// admin API.
package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func init() {
	command.Add(statusCommand)
	command.Add(checkCommand)
	command.Add(probeCommand)
	command.Add(findCommand)
	command.Add(tenantsCommand)
	command.Add(revokeCommand)
	command.Add(forgetCommand)
	command.Add(holdCommand)
	command.Add(releaseCommand)
	command.Add(failuresCommand)
	command.Add(retryCommand)
	command.Add(historyCommand)
	command.Add(reportCommand)
	command.Add(notifyCommand)
}

// maxAnswer bounds what a gateway may answer: ten thousand tenants fit.
const maxAnswer = 64 << 20

// gateway is the running Caddy that a command asks.
type gateway struct{ named string }

func (g *gateway) flags(flags *pflag.FlagSet) {
	flags.StringVar(&g.named, "address", "", "the gateway's socket as operators or admin names it, such as unix//run/caddy/erpsync.sock or localhost:2019. "+
		"Otherwise erpsync.sock in the folder ERPSYNC_RUN, CADDY_ADMIN, "+defaultSocket+" if there is one, or "+caddy.DefaultAdminListen)
}

// address returns where the gateway is asked.
func (g *gateway) address() string { return addressOf(g.named, os.Getenv, exists) }

// environmentFlag says which app of a name is meant.
func environmentFlag(flags *pflag.FlagSet, environment *string) {
	flags.StringVar(environment, "environment", "", "where the app stands in several environments: online, stage, sod, or a base URL or upstream as configured")
}

// wideFlag has a table show everything.
func wideFlag(flags *pflag.FlagSet, wide *bool) {
	flags.BoolVar(wide, "wide", false, "tables with every column in full, wider than 100 characters")
}

// ask sends in, nil for nothing, and reads the answer into out. An error says what the gateway said.
func (g *gateway) ask(ctx context.Context, method, uri string, in, out any) error {
	resp, err := g.send(ctx, method, uri, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return g.read(resp, out)
}

// send sends in, nil for nothing.
func (g *gateway) send(ctx context.Context, method, uri string, in any) (*http.Response, error) {
	place, err := parsePlace(g.address())
	if err != nil {
		return nil, err
	}
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, place.origin+uri, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if place.network == "tcp" {
		req.Header.Set("Origin", place.origin) // Caddy's admin endpoint asks for it
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, place.network, place.at)
	}}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, place.unreachable(err)
	}
	return resp, nil
}

// read reads an answer into out. An error says what the gateway said.
func (g *gateway) read(resp *http.Response, out any) error {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Error string }
		if json.Unmarshal(answer, &problem) == nil && problem.Error != "" {
			return errors.New(command.Printable(problem.Error))
		}
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(answer, out) != nil {
		return fmt.Errorf("what listens at %s does not answer as a gateway with erpsync (HTTP %d)", g.address(), resp.StatusCode)
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
