package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/project"
	"github.com/truewheel/truewheel/recipe/lock"
)

// buildOptions are the flags of build.
type buildOptions struct {
	common
	cageFlags
	mirrorFlags
	lockFile string
	bundle   string
	out      string
	json     bool
	verbose  bool
}

func (a *app) newBuildCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [DIRECTORY]",
		Short: "Build a project's wheel from its lock and nothing else",
		Long: `build brings everything that a lock names here, checks it by sha256, builds in a
cage without network, repairs the wheel where the lock says so, and seals what
was built before any test can run: the wheel in OUT, and in OUT/provenance its
SLSA provenance, our record of the build, the lock, the log and the sums of all.

The same lock gives the same bytes: on another machine, as another user, at
another time.`,
		Example: `  truewheel build --out dist
  truewheel build --lock markupsafe.lock --out dist
  truewheel build --bundle markupsafe.bundle --offline`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error { return a.build(cmd.Context(), &o, given) },
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd, true)
	o.mirrorFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.lockFile, "lock", "", "the lock `file` (default: truewheel.lock in the project)")
	f.StringVar(&o.bundle, "bundle", "", "take lock and inputs from a bundle `file`")
	f.StringVarP(&o.out, "out", "o", "dist", "put wheel and provenance in `directory`")
	f.BoolVar(&o.json, "json", false, "print the build record as JSON (truewheel.build/1)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the build log")
	return cmd
}

func (a *app) build(ctx context.Context, o *buildOptions, given []string) error {
	dir := "."
	if len(given) == 1 {
		dir = given[0]
	}
	if o.lockFile != "" && o.bundle != "" {
		return usage("--lock and --bundle exclude each other: a bundle has its lock")
	}
	w, err := a.workshop(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return err
	}
	l, err := a.readLock(ctx, w, o.lockFile, o.bundle, dir)
	if err != nil {
		return err
	}
	if w.Runtime == nil {
		fmt.Fprintf(a.stderr, "truewheel: the build is not caged: %s\n", printable(w.Uncaged))
	}
	p := newProgress(a.stderr, 1, o.json)
	built, err := w.Build(ctx, l, dir, a.projectEvents(p, "build", o.verbose))
	p.clear()
	if err != nil {
		return a.buildFailed(err)
	}
	defer built.Close()
	record, err := project.Seal(o.out, l, built, Version)
	if err != nil {
		return fmt.Errorf("seal %s: %w", o.out, err)
	}
	if o.json {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(record)
	}
	took := built.Finished.Sub(built.Started).Round(100 * time.Millisecond)
	caged := "caged, no network"
	if built.Isolation != "caged" {
		caged = "UNCAGED"
	}
	fmt.Fprintf(a.stdout, "%s   sha256 %s\n", filepath.Join(o.out, built.Filename), built.SHA256)
	fmt.Fprintf(a.stdout, "  lock      sha256 %s…\n", record.Lock.SHA256[:8])
	fmt.Fprintf(a.stdout, "  source    %s   sha256 %s…\n", oneLine(built.Source.Filename), built.Source.SHA256[:8])
	fmt.Fprintf(a.stdout, "  build     %s   %s   Python %s\n", took, caged, l.Python)
	fmt.Fprintf(a.stdout, "SEALED  %s\n", filepath.Join(o.out, project.ProvenanceDir))
	fmt.Fprintf(a.stdout, "  next: truewheel test %s\n", filepath.Join(o.out, built.Filename))
	return nil
}

// readLock reads a lock from a file, a bundle (whose inputs go to the store),
// or the project in dir.
func (a *app) readLock(ctx context.Context, w *project.Workshop, file, bundle, dir string) (*lock.Lock, error) {
	if bundle != "" {
		l, err := project.Unbundle(ctx, w.Supply.Client.Store, bundle)
		if err != nil {
			return nil, fmt.Errorf("read bundle %s: %w", bundle, err)
		}
		return l, nil
	}
	if file == "" {
		file = filepath.Join(dir, project.LockFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l, err := lock.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}
