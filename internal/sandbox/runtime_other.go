//go:build !linux

package sandbox

import (
	"context"
	"runtime"
)

// Runtime is an OCI runtime; there is none on this system.
type Runtime struct {
	Limits bool
}

// Find always fails with an *UnavailableError here.
func Find(context.Context, string, string) (*Runtime, error) {
	return nil, &UnavailableError{"OCI runtimes run on Linux, not on " + runtime.GOOS}
}

// Name is the runtime and its version.
func (r *Runtime) Name() string { return "" }

// Run never runs.
func (r *Runtime) Run(ctx context.Context, s Spec) (Result, error) { return Result{}, ctx.Err() }
