// Package health asks a gateway whether it is alive, for images and supervisors that have no curl.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

// proof is on every answer of a gateway, and on no other: Caddy answers an empty 200 for hosts and paths
// that no site has.
const proof = "ErpSync-Request-Id"

// defaultURL is the gateway of Caddyfile.example and of the container image.
const defaultURL = "http://localhost:8080/erpsync/live"

func init() { command.Add(healthCommand) }

func healthCommand() *cobra.Command {
	var probe probe
	cmd := &cobra.Command{
		Use: "health [url]", Short: "Exit with 0 if a gateway answers 200 at its liveness endpoint, with 1 if not", Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		Long: "Sends one GET to the URL, " + defaultURL + " unless one is given, and exits with 0 if a gateway answers 200.\n" +
			"Redirects are not followed, proxies are not used, and certificates are verified.\n" +
			"A site with a certificate is asked by its own name:\n\n" +
			"  caddy erpsync health https://erpsync.example.com/erpsync/live --connect 127.0.0.1:443",
		RunE: func(cmd *cobra.Command, args []string) error {
			probe.url = defaultURL
			if len(args) > 0 {
				probe.url = args[0]
			}
			return probe.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&probe.connect, "connect", "", "connect to this host:port instead of the URL's; its name still goes into TLS and the Host header")
	cmd.Flags().DurationVar(&probe.timeout, "timeout", 5*time.Second, "fail after this long")
	return cmd
}

// probe is one question to a gateway.
type probe struct {
	url, connect string
	timeout      time.Duration
}

// run returns nil only for an answer of 200 by a gateway. Its errors never hold the URL's user information.
func (p probe) run(ctx context.Context) error {
	target, err := url.Parse(p.url)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return errors.New("invalid url: must be http:// or https:// with a host, such as " + defaultURL)
	}
	if p.timeout <= 0 {
		return fmt.Errorf("invalid --timeout %s: must be positive, such as 5s", p.timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "erpsync-health")
	client := http.Client{
		Transport:     p.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err // *url.Error redacts a password
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10)
	switch {
	case resp.StatusCode == http.StatusOK && resp.Header.Get(proof) != "":
		return nil
	case resp.StatusCode == http.StatusOK:
		return fmt.Errorf("%s answered 200 without %s, so it is not erpsync that answered: does a site have that host and path?", target.Redacted(), proof)
	case resp.Header.Get("Location") != "":
		return fmt.Errorf("%s answered %d and redirects to %s: ask that address, with --connect if its name does not lead here",
			target.Redacted(), resp.StatusCode, command.Printable(resp.Header.Get("Location")))
	}
	return fmt.Errorf("%s answered %d instead of 200", target.Redacted(), resp.StatusCode)
}

// transport opens one connection and never uses a proxy: HTTP_PROXY is meant for what the gateway sends.
func (p probe) transport() http.RoundTripper {
	dialer := &net.Dialer{}
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if p.connect != "" {
				address = p.connect
			}
			if path, isSocket := strings.CutPrefix(address, "unix/"); isSocket {
				network, address = "unix", path
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
}
