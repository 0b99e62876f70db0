package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/project"
	"github.com/truewheel/truewheel/internal/rootfs"
	"github.com/truewheel/truewheel/recipe/lock"
)

// envOptions are the flags of env's verbs.
type envOptions struct {
	common
	cageFlags
	mirrorFlags
	lockFile string
	bundle   string
	verify   bool
}

func (o *envOptions) register(cmd *cobra.Command) {
	o.common.register(cmd)
	o.cageFlags.register(cmd, true)
	o.mirrorFlags.register(cmd)
	cmd.Flags().StringVar(&o.lockFile, "lock", "", "the lock `file` (default: truewheel.lock)")
	cmd.Flags().StringVar(&o.bundle, "bundle", "", "take lock and inputs from a bundle `file`")
}

func (a *app) newEnvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Look inside the environment that a build sees",
	}
	var fetch, shell, digest envOptions
	get := &cobra.Command{
		Use: "fetch", Short: "Bring everything that a lock names here",
		Long: `fetch brings every file of a lock into the store and unpacks the root, so that
builds need no network any more.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.envFetch(cmd.Context(), &fetch) },
	}
	fetch.register(get)
	in := &cobra.Command{
		Use: "shell [-- COMMAND...]", Short: "Run a shell, or a command, where the build would run",
		Example: "  truewheel env shell\n  truewheel env shell -- gcc -v",
		RunE:    func(cmd *cobra.Command, given []string) error { return a.envShell(cmd.Context(), &shell, given) },
	}
	shell.register(in)
	sum := &cobra.Command{
		Use: "digest", Short: "Print the digest of the root, and check it",
		Long: `digest prints the sha256 of the root's manifest: a line for each file with its
path, type, mode, owner as recorded, and contents. With --verify every file of
the unpacked root is read and compared. Exit 3 when something differs.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.envDigest(cmd.Context(), &digest) },
	}
	digest.register(sum)
	sum.Flags().BoolVar(&digest.verify, "verify", false, "read every file of the unpacked root")
	cmd.AddCommand(get, in, sum)
	return cmd
}

func (a *app) environment(ctx context.Context, o *envOptions) (*project.Workshop, *lock.Lock, error) {
	w, err := a.workshop(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.readLock(ctx, w, o.lockFile, o.bundle, ".")
	return w, l, err
}

func (a *app) envFetch(ctx context.Context, o *envOptions) error {
	w, l, err := a.environment(ctx, o)
	if err != nil {
		return err
	}
	started := time.Now()
	files, err := w.Fetch(ctx, l)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d files are in the store\n", files)
	_, root, err := w.Interpreter(ctx, l)
	if err != nil {
		return err
	}
	if root != "" {
		fmt.Fprintf(a.stdout, "root %s is unpacked\n  %s\n", l.Environment.Root, root)
	}
	fmt.Fprintf(a.stdout, "  ready in %s\n", time.Since(started).Round(100*time.Millisecond))
	return nil
}

func (a *app) envShell(ctx context.Context, o *envOptions, command []string) error {
	w, l, err := a.environment(ctx, o)
	if err != nil {
		return err
	}
	if w.Runtime == nil {
		return fmt.Errorf("the build's environment is to be seen in a cage only: %s", w.Uncaged)
	}
	if len(command) == 0 {
		command = []string{"/bin/sh", "-i"}
	}
	code, err := w.Shell(ctx, l, command, a.stdin, a.stdout, a.stderr)
	if err != nil {
		return err
	}
	return exit(code)
}

func (a *app) envDigest(ctx context.Context, o *envOptions) error {
	w, l, err := a.environment(ctx, o)
	if err != nil {
		return err
	}
	if l.Environment.Kind == lock.Host {
		return errors.New("an environment of kind host has no root of its own")
	}
	_, root, err := w.Interpreter(ctx, l)
	if err != nil {
		return err
	}
	manifest, err := os.ReadFile(project.Manifest(root))
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s\n", rootfs.Digest(manifest))
	if !o.verify {
		return nil
	}
	wrong, err := rootfs.Verify(ctx, root, manifest)
	if err != nil {
		return err
	}
	for i, line := range wrong {
		if i == 20 {
			fmt.Fprintf(a.stdout, "  and %d more\n", len(wrong)-i)
			break
		}
		fmt.Fprintf(a.stdout, "  %s\n", oneLine(line))
	}
	if len(wrong) > 0 || rootfs.Digest(manifest) != l.Environment.Root {
		fmt.Fprintf(a.stdout, "the root is not what the lock says: remove %s\n", root)
		return exit(exitDiffers)
	}
	fmt.Fprintln(a.stdout, "  every file is as the manifest has it")
	return nil
}
