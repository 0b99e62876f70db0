package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/report"
)

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct {
	common
	cageFlags
	requirements string
	jobs         int
	file         string
	all          bool
	lock         string
	writeLock    string
	out          string
	json         bool
	quiet        bool
	verbose      bool
	explain      bool
}

func (a *app) newRebuildCommand() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild [NAME==VERSION | purl | URL | WHEEL]...",
		Short: "Rebuild published wheels from their source and compare",
		Long: `rebuild finds the published wheel and its source, infers from the wheel how it
was made, builds it again in a cage, compares byte for byte, and tries again
on what differs.

Exit codes: 0 reproduced or replayed, 3 differs, 1 failed, 2 wrong usage.
For many the worst one counts.`,
		Example: `  truewheel rebuild attrs==25.4.0
  truewheel rebuild -r requirements.txt --jobs 4
  truewheel rebuild attrs==25.4.0 --write-lock attrs.lock
  truewheel rebuild --lock attrs.lock --offline`,
		RunE: func(cmd *cobra.Command, given []string) error { return a.rebuild(cmd.Context(), &o, given) },
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.requirements, "requirements", "r", "", "rebuild what a requirements `file` pins; hashes in it are honoured")
	f.IntVarP(&o.jobs, "jobs", "j", 1, "rebuilds at once")
	f.StringVar(&o.file, "file", "", "the `name` of the file to rebuild, of a release with several")
	f.BoolVar(&o.all, "all", false, "all wheels of the release")
	f.StringVar(&o.lock, "lock", "", "build what this lock `file` says and infer nothing")
	f.StringVar(&o.writeLock, "write-lock", "", "write the lock of the best try to `file`")
	f.StringVarP(&o.out, "out", "o", "", "keep wheel, report, lock, envelope and log in `directory`")
	f.BoolVar(&o.json, "json", false, "print reports as JSON, one a line")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print the verdict line only")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the build log")
	f.BoolVar(&o.explain, "explain", false, "say where each input of the recipe comes from")
	return cmd
}

func (a *app) rebuild(ctx context.Context, o *rebuildOptions, given []string) error {
	b, err := a.rebuilder(ctx, &o.common, &o.cageFlags)
	if err != nil {
		return err
	}
	var targets []rebuild.Target
	for _, text := range given {
		found, err := rebuild.Targets(ctx, b.Client, text, rebuild.Choice{File: o.file, All: o.all})
		if err != nil {
			return err
		}
		targets = append(targets, found...)
	}
	code := exitOK
	for _, t := range targets {
		outcome, err := b.Rebuild(ctx, t, a.events(o))
		if err != nil {
			return err
		}
		err = a.deliver(o, outcome)
		outcome.Close()
		if err != nil {
			return err
		}
		code = worse(code, exitCode(outcome.Report.Verdict))
	}
	if code != exitOK {
		return &exitError{code}
	}
	return nil
}

func (a *app) events(o *rebuildOptions) rebuild.Events {
	var ev rebuild.Events
	if o.verbose {
		ev.Log = a.stderr
	}
	return ev
}

func exitCode(v compare.Verdict) int {
	switch v {
	case compare.Reproduced, compare.Replayed:
		return exitOK
	case compare.Differs:
		return exitDiffers
	}
	return exitFailed
}

// worse: failed is worse than differs, and both than proved.
func worse(a, b int) int {
	order := map[int]int{exitOK: 0, exitDiffers: 1, exitFailed: 2}
	if order[b] > order[a] {
		return b
	}
	return a
}

// deliver writes the files that were asked for and prints the report.
func (a *app) deliver(o *rebuildOptions, outcome *rebuild.Outcome) error {
	rep := outcome.Report
	if o.writeLock != "" && outcome.Lock != nil {
		if err := store.WriteFile(o.writeLock, outcome.Lock); err != nil {
			return fmt.Errorf("write lock: %w", err)
		}
	}
	if o.out != "" {
		if err := writeOut(o.out, outcome); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	if o.json {
		return json.NewEncoder(a.stdout).Encode(rep)
	}
	a.printReport(rep, o)
	return nil
}

// writeOut puts everything that belongs to a rebuild into dir.
func writeOut(dir string, outcome *rebuild.Outcome) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rep := outcome.Report
	stem := filepath.Join(dir, rep.Subject.Filename)
	put := func(suffix string, data []byte, at *string) error {
		if data == nil {
			return nil
		}
		if at != nil {
			*at = stem + suffix
		}
		return store.WriteFile(stem+suffix, data)
	}
	if outcome.Wheel != "" {
		data, err := os.ReadFile(outcome.Wheel)
		if err != nil {
			return err
		}
		rep.Rebuilt.Path = filepath.Join(dir, filepath.Base(outcome.Wheel))
		if err := store.WriteFile(rep.Rebuilt.Path, data); err != nil {
			return err
		}
	}
	if rep.Lock != nil {
		if err := put(".truewheel.lock", outcome.Lock, &rep.Lock.Path); err != nil {
			return err
		}
	}
	if rep.Envelope != nil {
		if err := put(".envelope.json", outcome.Envelope, &rep.Envelope.Path); err != nil {
			return err
		}
	}
	if err := put(".log", outcome.Log, nil); err != nil {
		return err
	}
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return put(".report.json", append(data, '\n'), nil)
}

var _ = report.Schema
