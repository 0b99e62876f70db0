package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
)

// exportOptions are the flags of export.
type exportOptions struct {
	common
	lockFile                 string
	constraints, pylock, bom bool
	out                      string
}

func (a *app) newExportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a lock's build requirements for pip, uv and cibuildwheel, or as SBOM",
		Long: `export writes what a lock pins in the formats of other tools: build constraints
with hashes for pip's and uv's --build-constraint(s), a pylock.toml (PEP 751), or
a bill of materials (CycloneDX 1.6 JSON) of everything the build is made from.`,
		Example: `  truewheel export --build-constraints -o constraints.txt
  PIP_BUILD_CONSTRAINT=constraints.txt cibuildwheel
  truewheel export --sbom -o sbom.cdx.json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.export(cmd.Context(), &o) },
	}
	o.common.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.lockFile, "lock", "", "the lock `file` (default: truewheel.lock)")
	f.BoolVar(&o.constraints, "build-constraints", false, "NAME==VERSION --hash=… of every build requirement")
	f.BoolVar(&o.pylock, "pylock", false, "pylock.toml; the URLs are those of the index")
	f.BoolVar(&o.bom, "sbom", false, "CycloneDX")
	f.StringVarP(&o.out, "output", "o", "", "write to `file` (default: standard output)")
	cmd.MarkFlagsOneRequired("build-constraints", "pylock", "sbom")
	cmd.MarkFlagsMutuallyExclusive("build-constraints", "pylock", "sbom")
	return cmd
}

func (a *app) export(ctx context.Context, o *exportOptions) error {
	l, err := a.readLock(ctx, nil, o.lockFile, "", ".")
	if err != nil {
		return err
	}
	var data []byte
	switch {
	case o.constraints:
		data = l.Constraints()
	case o.bom:
		data, err = l.SBOM()
	default:
		data, err = a.pylock(ctx, o, l)
	}
	if err != nil {
		return err
	}
	if o.out != "" {
		return store.WriteFile(o.out, data)
	}
	_, err = a.stdout.Write(data)
	return err
}

// pylock asks the index where the files of the lock are.
func (a *app) pylock(ctx context.Context, o *exportOptions, l *lock.Lock) ([]byte, error) {
	client, err := a.client(ctx, &o.common)
	if err != nil {
		return nil, err
	}
	return l.Pylock(func(p lock.Package) (string, error) {
		page, err := client.Page(ctx, pypi.Name(p.Name))
		if err != nil {
			return "", err
		}
		for _, f := range page.Files {
			if f.SHA256 == p.SHA256 {
				return f.URL, nil
			}
		}
		return "", fmt.Errorf("the index has no %s with sha256 %s", p.Filename, p.SHA256)
	})
}
