package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"

	"wsplice/bench/echo"
)

// serving is the line serve prints when it listens.
type serving struct {
	Address string `json:"address"`
}

// serve runs a backend until the context ends.
func serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("wsbench serve", flag.ContinueOnError)
	network := fs.String("network", "tcp", "tcp, tcp4, tcp6 or unix")
	address := fs.String("address", "127.0.0.1:0", "where to listen; the line on stdout names the port")
	mode := fs.String("mode", "echo", "echo, sink or source")
	frame := fs.Int("frame", 16<<10, "payload bytes of each frame a source sends")
	total := fs.Int64("total", 0, "payload bytes after which a source closes; 0 = never")
	if err := parse(fs, args); err != nil {
		return err
	}
	m, err := echo.ParseMode(*mode)
	if err != nil {
		return err
	}
	s, err := echo.Start(*network, *address, echo.Options{Mode: m, FrameBytes: *frame, TotalBytes: *total})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(serving{Address: s.Addr().String()}); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}
