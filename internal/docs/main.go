// Command docs writes what is made from the code into a directory: man pages
// (man/) and completions (completions/) of the commands, causes.md of the
// catalogue of causes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/internal/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docs DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	root := cli.Command()
	root.DisableAutoGenTag = true
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	for _, d := range []string{man, completions} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	// One date for all, so that the pages change only when the commands do.
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	header := &doc.GenManHeader{Title: "TRUEWHEEL", Section: "1", Date: &date, Source: "truewheel " + cli.Version}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	if err := root.GenBashCompletionFileV2(filepath.Join(completions, "truewheel.bash"), true); err != nil {
		return err
	}
	if err := root.GenZshCompletionFile(filepath.Join(completions, "_truewheel")); err != nil {
		return err
	}
	if err := root.GenFishCompletionFile(filepath.Join(completions, "truewheel.fish"), true); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "causes.md"), []byte(causes()), 0o644)
}

const causesHead = `# Causes

Made from the catalogue in compare/cause by ` + "`make docs`" + `. A cause is *sure* when undoing it makes the bytes equal; else it is
said to be *likely*. What has no cause stays unexplained: "no known cause" is an answer. The heavier of two causes, the one
that more follows from, is named first.

`

// causes is the catalogue as a page.
func causes() string {
	var b strings.Builder
	b.WriteString(causesHead)
	for _, c := range cause.Catalogue() {
		fmt.Fprintf(&b, "## %s\n\n", c.Name)
		for _, row := range [][2]string{{"shown by", c.Shows}, {"sure", c.Sure}, {"input of the build", c.Input}, {"fix in the project", c.Fix}, {"to rebuild it", c.Try}, {"see", strings.Join(c.See, ", ")}} {
			if row[1] != "" {
				fmt.Fprintf(&b, "- %s: %s\n", row[0], row[1])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
