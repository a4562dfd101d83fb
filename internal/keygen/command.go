package keygen

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/caddy-erpsync/caddy-erpsync/auth/session"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/internal/command"
)

func init() { command.Add(keygenCommand) }

// place is where keys go and what happens to those that are there.
type place struct {
	dir  string
	keep bool
	out  io.Writer
	goos string
}

func keygenCommand() *cobra.Command {
	p := place{goos: runtime.GOOS}
	cmd := &cobra.Command{
		Use: "keygen", Short: "Make sealing keys and the key pair of an app's system user", Args: cobra.NoArgs,
		Long: "Makes keys as files in a folder. Nothing is ever overwritten. Private files can be read by the user alone,\n" +
			"so run it as the user that the gateway runs as.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&p.dir, "dir", "secrets", "the folder for the keys; made, for the user alone, if there is none")
	cmd.PersistentFlags().BoolVar(&p.keep, "keep", false, "succeed if the key exists already and can be used")

	var name string
	sealing := &cobra.Command{
		Use: "sealing", Short: "Make a key for the option keys", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.out = cmd.OutOrStdout()
			return p.sealing(name)
		},
	}
	sealing.Flags().StringVar(&name, "name", "sealing.key", "the file's name; a key that replaces another needs one of its own")

	var bits int
	systemUser := &cobra.Command{
		Use: "system-user <app>", Short: "Make an app's key pair for the option private_key, and print what to send to SuperOffice",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.out = cmd.OutOrStdout()
			return p.systemUser(args[0], bits)
		},
	}
	// A signature is good for minutes, so 2048 bits, which everything that knows RSA takes, are enough.
	systemUser.Flags().IntVar(&bits, "bits", 2048, "the size of the RSA key: 2048, 3072 or 4096")
	cmd.AddCommand(sealing, systemUser)
	return cmd
}

// fileName matches what may name a file: nothing that leads to another folder or hides.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)

func (p place) sealing(name string) error {
	if !fileName.MatchString(name) {
		return fmt.Errorf("invalid --name %q: must be letters, digits, dots, dashes and underscores", name)
	}
	dir := folder(p.dir)
	if err := dir.open(); err != nil {
		return err
	}
	made, err := p.make(name, func(content []byte) error {
		_, err := session.NewKeys(bytes.TrimSpace(content))
		return err
	}, func() error { return dir.write(file{name: name, content: sealingKey()}) })
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(dir.path(name))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s %s\n\nIn the Caddyfile:\n\n\tkeys {file.%s}\n\n", verb(made), absolute, absolute)
	fmt.Fprintln(p.out, "Every gateway needs the same keys. Keep a copy apart from the gateway: without it, sessions, kept answers and\nkept system tokens cannot be opened any more.")
	p.warn()
	return nil
}

func (p place) systemUser(app string, bits int) error {
	if !fileName.MatchString(app) {
		return fmt.Errorf("invalid app %q: must be letters, digits, dots, dashes and underscores", app)
	}
	if bits != 2048 && bits != 3072 && bits != 4096 {
		return fmt.Errorf("invalid --bits %d: must be 2048, 3072 or 4096", bits)
	}
	dir := folder(p.dir)
	if err := dir.open(); err != nil {
		return err
	}
	private := app + ".private_key"
	made, err := p.make(private, func(content []byte) error {
		_, err := systemuser.ParsePrivateKey(content)
		return err
	}, func() error {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return err
		}
		files, err := pair(app, key)
		if err != nil {
			return err
		}
		return dir.write(files...)
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(dir.path(private))
	if err != nil {
		return err
	}
	key, err := systemuser.ParsePrivateKey(content)
	if err != nil {
		return err
	}
	return p.explain(app, key, made)
}

// pair returns an app's key in both forms, and so its public key.
func pair(app string, key *rsa.PrivateKey) ([]file, error) {
	private, err := privatePEM(key)
	if err != nil {
		return nil, err
	}
	public, _, err := publicPEM(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return []file{
		{name: app + ".private_key", content: private},
		{name: app + ".private_key.xml", content: privateXML(key)},
		{name: app + ".public_key.pem", content: public, public: true},
		{name: app + ".public_key.xml", content: publicXML(&key.PublicKey), public: true},
	}, nil
}

// make makes a key unless the name is taken and --keep is given; then what is there has to be usable.
func (p place) make(name string, check func(content []byte) error, write func() error) (made bool, err error) {
	dir := folder(p.dir)
	exists, err := dir.has(name)
	if err != nil {
		return false, err
	}
	if !exists || !p.keep {
		return true, write()
	}
	content, err := os.ReadFile(dir.path(name))
	if err != nil {
		return false, err
	}
	if err := check(content); err != nil {
		return false, fmt.Errorf("--keep: %s exists and cannot be used: %w", dir.path(name), err)
	}
	return false, nil
}

func (p place) explain(app string, key *rsa.PrivateKey, made bool) error {
	private, err := filepath.Abs(folder(p.dir).path(app + ".private_key"))
	if err != nil {
		return err
	}
	public, fingerprint, err := publicPEM(&key.PublicKey)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s %s (PEM; beside it in XML, for tools of .NET)\n\nIn the Caddyfile:\n\n\tprivate_key {file.%s}\n\n", verb(made), private, private)
	fmt.Fprintf(p.out, "Send this to SuperOffice (appdev@superoffice.com), with the app's client id and the environment. It is not secret;\nsend a private key to nobody.\n\n%s\nThe same for .NET:\n\n%s\nFingerprint, to compare by another way: %s\n\n", public, publicXML(&key.PublicKey), fingerprint)
	fmt.Fprintf(p.out, "The developer portal makes a pair by itself (Configuration, Authentication, New Certificate) and shows the private\nkey once. Its documentation does not say whether it takes a key that was made elsewhere. If SuperOffice does not take\nthis one, put the portal's private key, XML or PEM, into %s instead.\n", filepath.Base(private))
	p.warn()
	return nil
}

// warn says what the operating system does not do by itself.
func (p place) warn() {
	if p.goos == "windows" {
		fmt.Fprintf(p.out, "\nOn Windows a file has its folder's permissions. Let only administrators and the service read the folder:\n\n\ticacls \"%s\" /inheritance:r /grant:r \"*S-1-5-32-544:(OI)(CI)F\" \"*S-1-5-18:(OI)(CI)F\" \"NT SERVICE\\erpsync:(OI)(CI)RX\"\n", p.dir)
	}
}

func verb(made bool) string {
	if made {
		return "Made"
	}
	return "Kept"
}
