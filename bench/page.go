package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section is a table of the page, and what it says about the goals.
type section struct {
	name  string
	took  time.Duration // 0: nothing was measured for it alone
	head  []string
	rows  [][]string
	goals []goal
}

// goal is one thing that shall hold, and what was measured of it.
type goal struct {
	number   int
	what     string
	bound    string // "": it is told and not judged
	measured string
	met      bool
}

// atMost makes a goal of a figure that shall not be above a bound.
func atMost(number int, what string, measured, most float64, format string) goal {
	return goal{number, what, "≤ " + fmt.Sprintf(format, most), fmt.Sprintf(format, measured), measured <= most}
}

func goalsSection(goals []goal) section {
	s := section{name: "goals", head: []string{"goal", "", "shall be", "measured", ""}}
	slices.SortStableFunc(goals, func(a, b goal) int { return a.number - b.number })
	for _, g := range goals {
		met := "**missed**"
		switch {
		case g.bound == "":
			met = "told"
		case g.met:
			met = "met"
		}
		s.rows = append(s.rows, []string{fmt.Sprint(g.number), g.what, g.bound, g.measured, met})
	}
	return s
}

func (s section) row(cells ...string) section {
	s.rows = append(s.rows, cells)
	return s
}

// markdown is the section as it stands on the page, between its marks.
func (s section) markdown(machine string) string {
	var out strings.Builder
	if s.took > 0 {
		machine += ", in " + s.took.Round(time.Second).String()
	}
	fmt.Fprintf(&out, "<!-- bench %s -->\n`%s`: %s\n\n| %s |\n|%s\n", s.name, commandLine(), machine, strings.Join(s.head, " | "), strings.Repeat("---|", len(s.head)))
	for _, row := range s.rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintf(&out, "<!-- end %s -->", s.name)
	return out.String()
}

// commandLine is how the run was asked for.
func commandLine() string {
	line := "go run ./bench"
	for _, argument := range os.Args[1:] {
		if argument == "" || strings.Contains(argument, " ") {
			argument = strconv.Quote(argument)
		}
		line += " " + argument
	}
	return line
}

// marks are what a section stands between on the page.
func marks(name string) (from, to string) {
	return "<!-- bench " + name + " -->", "<!-- end " + name + " -->"
}

// checkSections fails if a section has no marks on the page.
func checkSections(path string, names []string) error {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err
	}
	for _, name := range names {
		from, to := marks(name)
		_, rest, found := strings.Cut(string(raw), from)
		if !found || !strings.Contains(rest, to) {
			return fmt.Errorf("%s has no %s … %s", path, from, to)
		}
	}
	return nil
}

// writeSections replaces the sections on the page; one without marks there is an error.
func writeSections(path, machine string, sections []section) error {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err
	}
	page := string(raw)
	for _, s := range sections {
		if err := checkSections(path, []string{s.name}); err != nil {
			return err
		}
		from, to := marks(s.name)
		before, rest, _ := strings.Cut(page, from)
		_, after, _ := strings.Cut(rest, to)
		page = before + s.markdown(machine) + after
	}
	return os.WriteFile(filepath.Clean(path), []byte(page), 0o644) //nolint:gosec // a page of the documentation
}

// machineLine returns what the figures were measured on, and of what.
func machineLine(ctx context.Context) string {
	model, cores := "an unknown CPU", runtime.NumCPU()
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(raw), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			model = strings.TrimSpace(strings.TrimLeft(line, " \t:"))
		}
	}
	kernel := runtime.GOOS
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(raw))
	}
	commit := "an unknown commit"
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%d cores of %s, %s, %s, Caddy %s, commit %s, %s", cores, model, kernel, runtime.Version(), caddyVersion(), commit, time.Now().Format(time.DateOnly))
}

// caddyVersion is that of the Caddy that the repository builds.
func caddyVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/caddyserver/caddy/v2" {
				return dep.Version
			}
		}
	}
	return "of an unknown version"
}
