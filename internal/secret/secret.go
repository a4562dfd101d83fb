// Package secret reads configured secrets: in plain text, from an environment variable
// or from a file, which is read again while running.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
)

// maxAge is how long the value of a placeholder is used before it is looked up again.
const maxAge = 2 * time.Second

// Source is a configured value that may be a placeholder. A file's content is
// read again while running, so that a secret can be replaced; while it cannot be
// read, or is not what a secret looks like, the last good value stays.
type Source struct {
	option, raw string
	parse       func(string) (auth.Secret, error)
	logger      *zap.Logger

	mu      sync.Mutex
	value   auth.Secret
	looked  time.Time
	failing string // what was logged last
}

// Open returns a secret of one value. option names it in errors and logs. It returns an error if the placeholder has no value,
// the value is not what a secret looks like, or its file is readable by everybody.
func Open(option, raw string, logger *zap.Logger) (*Source, error) {
	return open(option, raw, auth.ParseSecret, logger)
}

// OpenText is as Open, for a text such as that of a private key, which may have spaces and many lines and is judged where it is parsed.
func OpenText(option, raw string, logger *zap.Logger) (*Source, error) {
	return open(option, raw, func(text string) (auth.Secret, error) {
		if strings.TrimSpace(text) == "" {
			return auth.Secret{}, errors.New("is empty")
		}
		return auth.NewSecret(text), nil
	}, logger)
}

// OpenAs is as Open, for a secret of a form that parse judges.
func OpenAs(option, raw string, parse func(string) (auth.Secret, error), logger *zap.Logger) (*Source, error) {
	return open(option, raw, parse, logger)
}

func open(option, raw string, parse func(string) (auth.Secret, error), logger *zap.Logger) (*Source, error) {
	s := &Source{option: option, raw: raw, parse: parse, logger: logger}
	var err error
	if s.value, err = Resolve(raw, parse); err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	s.looked = time.Now()
	switch path, isFile := filePath(raw); {
	case isFile:
		if stat, err := os.Stat(path); err == nil && auth.ReadableByAll(path, stat) {
			return nil, fmt.Errorf("%s: %s is readable by everybody: chmod o-r it, or close a directory above it to others", option, path)
		}
	case looksLikePath(raw):
		logger.Warn(fmt.Sprintf("secret looks like a path and is taken as it stands; to read the file, write {file.%s}", raw), zap.String("option", option))
	case !strings.Contains(raw, "{"):
		logger.Warn("secret written in plain text; use {file./path} or {env.NAME}", zap.String("option", option))
	}
	return s, nil
}

// filePath returns the path of a value that is one {file.…} and nothing else.
func filePath(raw string) (string, bool) {
	path, ok := strings.CutPrefix(raw, "{file.")
	path, closed := strings.CutSuffix(path, "}")
	return path, ok && closed && path != "" && !strings.ContainsAny(path, "{}")
}

// looksLikePath reports whether a secret in plain text is the path of a file: the file is there, or the directory is.
// Nothing less will do, since the warning prints it: a secret may begin with a slash.
func looksLikePath(raw string) bool {
	if strings.ContainsAny(raw, "{}") {
		return false
	}
	if stat, err := os.Stat(raw); err == nil && !stat.IsDir() {
		return strings.ContainsAny(raw, `/\.`)
	}
	directory := filepath.Dir(raw)
	stat, err := os.Stat(directory)
	return filepath.IsAbs(raw) && directory != filepath.Dir(directory) && err == nil && stat.IsDir()
}

// Get returns the value, which was read at most maxAge ago.
func (s *Source) Get() auth.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) > maxAge {
		s.look()
	}
	return s.value
}

// Reload reads the value at once.
func (s *Source) Reload() auth.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.value
}

func (s *Source) look() {
	s.looked = time.Now()
	value, err := Resolve(s.raw, s.parse)
	switch {
	case err == nil:
		s.value, s.failing = value, ""
	case err.Error() != s.failing:
		s.failing = err.Error()
		s.logger.Warn("reading a secret again failed; keeping the last valid value", zap.String("option", s.option), zap.Error(err))
	}
}

// maxFile bounds the file of a secret, in bytes.
const maxFile = 1 << 20

// Resolve returns the value of a placeholder, read once. Its errors name the file or the placeholder, never a value.
func Resolve(raw string, parse func(string) (auth.Secret, error)) (auth.Secret, error) {
	text, place, err := read(raw)
	if err != nil {
		return auth.Secret{}, err
	}
	value, err := parse(text)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("%s %w", place, err)
	}
	return value, nil
}

// read returns what a value stands for, and a name of the place where it stands.
func read(raw string) (text, place string, err error) {
	path, isFile := filePath(raw)
	if isFile {
		content, err := readFile(path)
		return content, "file " + path, err
	}
	// Caddy logs a file that cannot be read inside a longer text, and takes it for empty.
	text, err = caddy.NewReplacer().ReplaceOrErr(raw, true, true)
	if err != nil {
		return "", "", fmt.Errorf("the placeholder in it has no value (is the variable set, or the file there?): %w", err)
	}
	if strings.HasPrefix(raw, "{") && strings.HasSuffix(raw, "}") {
		return text, raw, nil
	}
	return text, "the value", nil
}

func readFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		advice := ""
		if errors.Is(err, fs.ErrPermission) {
			advice = "; let the user that Caddy runs as read it"
		}
		if folder, unknown := os.Getwd(); unknown == nil && errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(path) {
			advice = "; Caddy was started in " + folder
		}
		return "", fmt.Errorf("file %s: %w%s", path, errors.Unwrap(err), advice)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, errors.Unwrap(err))
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("file %s is longer than %d bytes", path, maxFile)
	}
	return string(content), nil
}

// Optional is as Open, and returns nil for an option that is not set.
func Optional(option, raw string, logger *zap.Logger) (auth.SecretSource, error) {
	if raw == "" {
		return nil, nil //nolint:nilnil // none is a value
	}
	return Open(option, raw, logger)
}

var _ auth.SecretSource = (*Source)(nil)
