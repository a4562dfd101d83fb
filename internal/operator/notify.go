package operator

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

const notifyHelp = `Looks after the notices of the running gateway, which needs notify among its global options.

  caddy erpsync notify test

docs/notices.md says what is told, and how a receiver verifies it.`

const testNoticeHelp = `Has the running gateway publish a sample as an event and post it to the webhook, once, and
prints what the receiver answered. The sample is signed as any message, and says "sample":
true. It names the app sample and the tenant Cust00000.

  caddy erpsync notify test
  caddy erpsync notify test --type failing
  caddy erpsync notify test --type digest --json

The audit log names who sent it, so that it takes the operators' socket or a client
certificate. A receiver that had answered 410 Gone gets messages again once it takes one.

It ends with 0 when the sample was received, with 2 when it was not, and with 1 when the
gateway cannot be asked.`

func notifyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "notify", Short: "Send a sample of a notice", Long: notifyHelp, Args: cobra.NoArgs, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(testNoticeCommand())
	return cmd
}

func testNoticeCommand() *cobra.Command {
	var gateway gateway
	var request report.NotifyTestRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test", Short: "Send a sample to the receiver", Long: testNoticeHelp, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			var done report.NotifyTest
			if err := gateway.ask(cmd.Context(), http.MethodPost, report.NotifyTestPath, request, &done); err != nil {
				return fmt.Errorf("notify test: %w", err)
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), done); err != nil {
					return err
				}
			} else {
				printNotifyTest(cmd.OutOrStdout(), done)
			}
			if done.Receiver != "" && !done.Received {
				return errAttention
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Kind, "type", "", "what the sample is about, such as failing, recovered, on_hold or digest; otherwise it is a message of its own type")
	flags.BoolVar(&asJSON, "json", false, "as JSON")
	environmentFlag(flags, &request.Environment)
	gateway.flags(flags)
	return cmd
}

func printNotifyTest(out io.Writer, done report.NotifyTest) {
	command.Fprintw(out, "", "event: %s", done.Event)
	switch {
	case done.Receiver == "":
		command.Fprintw(out, "", "No webhook is configured: the sample is an event of the gateway's process alone.")
		return
	case done.Received:
		command.Fprintw(out, "", "received: %s answered %d after %d ms", done.Receiver, done.Status, done.Milliseconds)
	default:
		command.Fprintw(out, "", "not received by %s: %s", done.Receiver, done.Cause)
	}
	command.Fprintw(out, "", "id: %s", done.ID)
	command.Fprintw(out, "", "type: %s", done.Type)
	if done.Resumed {
		command.Fprintw(out, "", "Messages are sent again, which an earlier 410 Gone had stopped.")
	}
}
