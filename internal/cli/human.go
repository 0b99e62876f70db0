package cli

import (
	"fmt"
	"strings"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/report"
)

func (a *app) printReport(rep *report.Report, o *rebuildOptions) {
	fmt.Fprintf(a.stdout, "%s %s\n", strings.ToUpper(string(rep.Verdict)), rep.Subject.Filename)
	for _, d := range rep.Differences {
		fmt.Fprintln(a.stdout, printable(fmt.Sprintf("  %-10s %-20s %s: %s", d.Kind, d.Cause, d.Member, d.Detail)))
	}
	if rep.Failure != nil {
		fmt.Fprintln(a.stdout, printable(fmt.Sprintf("  %s: %s\n%s", rep.Failure.Class, rep.Failure.Detail, rep.Failure.Log)))
	}
	_ = compare.Failed
}
