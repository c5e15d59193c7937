// Command wsbench measures wsplice beside other WebSocket proxies.
//
// Without a subcommand it runs the comparison: it starts a backend, the load
// generator and each proxy in turn, all as processes of their own on
// loopback, and reports CPU time, throughput, latency and memory with the
// ratio to each peer.
//
//	wsbench [flags]            run the comparison; see wsbench -h
//	wsbench --pairs N          measure what following frames costs wsplice
//	wsbench --endpoints        measure endpoint mode and warm connections
//	wsbench --secure           measure tunnels over TLS
//	wsbench serve [flags]      run a backend until SIGTERM
//	wsbench load [flags]       drive tunnels once and print JSON
//	wsbench report FILE...     write the report of result files
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	// The kernel ends our children when the thread that started them ends
	// (process.go): let that be the main thread.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "wsbench: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "wsbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := compare
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		switch args[0] {
		case "serve":
			command = serve
		case "load":
			command = loadOnce
		case "report":
			command = writeReport
		default:
			return fmt.Errorf("no subcommand %q: serve, load, report or none", args[0])
		}
		args = args[1:]
	}
	return command(ctx, args)
}

// parse reads flags and refuses arguments that are none.
func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return nil
}
