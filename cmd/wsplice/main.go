// Command wsplice is a WebSocket edge proxy: it accepts WebSocket connections
// and relays them to backends.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	if err := root().Execute(); err != nil {
		// Usage mistakes and failed commands end here; commands that have said
		// what is wrong return errReported.
		var positioned *positionError
		switch {
		case errors.Is(err, errReported):
		case errors.As(err, &positioned):
			fmt.Fprintln(os.Stderr, err)
		default:
			fmt.Fprintln(os.Stderr, "wsplice:", err)
		}
		os.Exit(1)
	}
}

// errReported says that the reason of a failure is on stderr already.
var errReported = errors.New("reported")

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "wsplice",
		Short:         "A WebSocket edge proxy for Linux",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(runCommand(), checkCommand(), importCommand(), demoCommand(), versionCommand(), superviseCommand())
	return cmd
}
