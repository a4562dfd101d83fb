// Package revoke adds the command `caddy erpsync revoke`.
package revoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func init() { command.Add(revokeCommand) }

const help = `Ends every session of an app, a tenant or a person, through the admin API of a
running gateway: at once, and on every gateway that shares its store.

  caddy erpsync revoke --app portal
  caddy erpsync revoke --tenant Cust12345
  caddy erpsync revoke --tenant Cust12345 --user tove@uno.example --address unix//run/caddy/admin.sock`

func revokeCommand() *cobra.Command {
	var what struct {
		App    string `json:"app,omitempty"`
		Tenant string `json:"tenant,omitempty"`
		User   string `json:"user,omitempty"`
	}
	var address string
	cmd := &cobra.Command{
		Use: "revoke", Short: "Sign everybody of an app, a tenant or a person out", Long: help, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := json.Marshal(what)
			if err != nil {
				return err
			}
			resp, err := caddycmd.AdminAPIRequest(address, http.MethodPost, "/erpsync/revoke", http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
			if err != nil {
				return fmt.Errorf("nothing was revoked: %w", err)
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			if err != nil {
				return err
			}
			var told struct{ Revoked string }
			if json.Unmarshal(answer, &told) != nil || told.Revoked == "" {
				return errors.New("nothing was revoked: the gateway does not answer as one")
			}
			fmt.Fprintln(cmd.OutOrStdout(), "signed out:", told.Revoked)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&what.App, "app", "", "everybody who is signed in to this app")
	flags.StringVar(&what.Tenant, "tenant", "", "everybody of this tenant, or with --user one person of it")
	flags.StringVar(&what.User, "user", "", "this person, by UPN")
	flags.StringVar(&address, "address", "localhost:2019", "the gateway's admin endpoint")
	return cmd
}
