package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/uv"
)

func (a *app) newDoctorCommand() *cobra.Command {
	var c common
	var cage cageFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what was found on this machine, what is missing, and how to get it",
		Long: `doctor shows what rebuilds would use here: the index and where its settings come
from, the interpreters, the runtime that cages builds, Debian mirrors, uv, and
the store. It fetches nothing. Exit code 1 when a rebuild could not work.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), &c, &cage) },
	}
	cmd.Flags().StringVar(&c.index, "index", "", "`URL` of the package index (default: the one your installer uses)")
	c.registerStore(cmd)
	cmd.Flags().StringVar(&cage.runtime, "runtime", "", "OCI runtime to build with, a `program`")
	return cmd
}

// wanted are the Pythons that cover the releases of the last ten years.
var wanted = []string{"3.13", "3.12", "3.11", "3.10", "3.9", "3.8"}

func (a *app) doctor(ctx context.Context, c *common, cage *cageFlags) error {
	ok := true
	say := func(good bool, what, format string, rest ...any) {
		mark := a.paint(green, "ok     ")
		if !good {
			mark = a.paint(red, "missing")
		}
		fmt.Fprintf(a.stdout, "%s  %-9s %s\n", mark, what, printable(fmt.Sprintf(format, rest...)))
	}
	more := func(format string, rest ...any) {
		fmt.Fprintf(a.stdout, "%19s%s\n", "", printable(fmt.Sprintf(format, rest...)))
	}

	st, err := c.openStore()
	if err != nil {
		return err
	}
	sizes, err := st.Size()
	if err != nil {
		return err
	}
	var bytes int64
	for _, u := range sizes {
		bytes += u.Bytes
	}
	say(true, "store", "%s, %s", st.Dir(), size(bytes))

	settings, err := index.Discover(ctx, index.Config{Index: c.index, Environ: a.environ})
	if err != nil {
		say(false, "index", "%v", err)
		ok = false
	} else {
		say(true, "index", "%s", settings.Redacted())
		more("from %s", settings.Origin["index"])
		for _, what := range []string{"extra indexes", "find-links", "certificates", "proxy"} {
			if from := settings.Origin[what]; from != "" {
				more("%s from %s", what, from)
			}
		}
	}

	pythons, err := env.Pythons(ctx, a.environ, st)
	if err != nil {
		return err
	}
	if len(pythons) == 0 {
		say(false, "pythons", "none (on Debian: apt-get install python3; others: uv python install 3.12)")
		ok = false
	} else {
		var found []string
		for _, p := range pythons {
			found = append(found, p.Version)
		}
		say(true, "pythons", "%s", strings.Join(found, ", "))
		var without []string
		for _, v := range wanted {
			if !slices.ContainsFunc(pythons, func(p env.Python) bool { return p.MinorString() == v }) {
				without = append(without, v)
			}
		}
		if len(without) > 0 {
			more("without %s some releases can't be rebuilt; each comes by: uv python install VERSION", strings.Join(without, ", "))
		}
	}

	runtime, err := sandbox.Find(ctx, cage.runtime, filepath.Join(st.Dir(), "cages"))
	if err != nil {
		say(false, "cage", "%s", strings.TrimPrefix(err.Error(), "no cage: "))
		more("builds run without isolation until then, and reports say so")
	} else {
		say(true, "cage", "%s", runtime.Name())
	}

	if mirrors, err := debian.FindMirrors("/etc/apt", nil); err != nil {
		say(false, "mirrors", "none in apt's sources: --mirror URL is needed for environments of Debian packages")
	} else {
		say(true, "mirrors", "%s", strings.Join(append(mirrors.Main, mirrors.Security...), ", "))
		more("from apt's sources; for environments of Debian packages")
	}

	release, err := uv.For()
	if err != nil {
		say(false, "uv", "%v", err)
		return exit(exitFailed)
	}
	if _, have := st.Path(release.SHA256); have {
		say(true, "uv", "%s, in the store", uv.Version)
	} else {
		say(true, "uv", "%s, will be fetched from the index and checked against a known sha256", uv.Version)
	}
	if !ok {
		return exit(exitFailed)
	}
	return nil
}

// size is a number of bytes to read.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}
