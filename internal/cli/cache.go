package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) newCacheCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Look at, check and empty the store",
		Long:  "cache looks at the store of fetched files: without a subcommand it says what it takes.",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return a.cacheSize(&c) },
	}
	cmd.PersistentFlags().StringVar(&c.cacheDir, "cache-dir", "", "`directory` of the store (default: $XDG_CACHE_HOME/truewheel)")
	var older time.Duration
	prune := &cobra.Command{
		Use:   "prune",
		Short: "Remove files and caches from the store",
		Long:  "prune removes fetched files (all, or those older than --older) and all caches. What is needed is fetched again.",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := c.openStore()
			if err != nil {
				return err
			}
			n, bytes, err := st.Prune(cmd.Context(), older)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "removed %s, %s\n", count(n, "file"), size(bytes))
			return nil
		},
	}
	prune.Flags().DurationVar(&older, "older", 0, "only files that were fetched longer ago, such as 720h")
	cmd.AddCommand(prune,
		&cobra.Command{
			Use: "size", Short: "Say what the store takes", Args: args(cobra.NoArgs),
			Long: "size says what each part of the store takes.",
			RunE: func(*cobra.Command, []string) error { return a.cacheSize(&c) },
		},
		&cobra.Command{
			Use: "verify", Short: "Read every file of the store and remove what is damaged", Args: args(cobra.NoArgs),
			Long: "verify reads every fetched file, compares it with its sha256, and removes what is damaged. Exit code 1 when something was.",
			RunE: func(cmd *cobra.Command, _ []string) error {
				st, err := c.openStore()
				if err != nil {
					return err
				}
				n, bad, err := st.Verify(cmd.Context())
				if err != nil {
					return err
				}
				for _, sum := range bad {
					fmt.Fprintf(a.stdout, "removed %s: its contents are not what its name says\n", sum)
				}
				fmt.Fprintf(a.stdout, "%s checked, %d damaged\n", count(n, "file"), len(bad))
				if len(bad) > 0 {
					return exit(exitFailed)
				}
				return nil
			},
		})
	return cmd
}

func (a *app) cacheSize(c *common) error {
	st, err := c.openStore()
	if err != nil {
		return err
	}
	usage, err := st.Size()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, st.Dir())
	var files int
	var bytes int64
	for _, u := range usage {
		fmt.Fprintf(a.stdout, "  %-8s %7d files  %s\n", u.Part, u.Files, size(u.Bytes))
		files += u.Files
		bytes += u.Bytes
	}
	fmt.Fprintf(a.stdout, "  %-8s %7d files  %s\n", "all", files, size(bytes))
	return nil
}
