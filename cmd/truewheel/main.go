// Command truewheel rebuilds published Python wheels from source and proves, byte for byte, what matches.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/truewheel/truewheel/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Environ(), os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}
