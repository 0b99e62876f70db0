// Command docs writes what is made from the commands into a directory: man
// pages (man/) and completions (completions/).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra/doc"

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
	return root.GenFishCompletionFile(filepath.Join(completions, "truewheel.fish"), true)
}
