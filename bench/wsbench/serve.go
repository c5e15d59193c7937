package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"

	"wsplice/bench/echo"
)

// serving is the line serve prints when it listens.
type serving struct {
	Address string `json:"address"` // a comma list in the order of --address
}

// serve runs backends until the context ends.
func serve(ctx context.Context, args []string) (err error) {
	fs := flag.NewFlagSet("wsbench serve", flag.ContinueOnError)
	network := fs.String("network", "tcp", "tcp, tcp4, tcp6 or unix")
	addresses := fs.String("address", "127.0.0.1:0", "where to listen, a comma list; the line on stdout names the ports")
	mode := fs.String("mode", "echo", "echo, sink, source or duplex")
	raw := fs.Bool("raw", false, "plain bytes instead of a WebSocket, as behind an endpoint; not for duplex")
	frame := fs.Int("frame", 16<<10, "payload bytes of each frame a source or duplex sends")
	total := fs.Int64("total", 0, "payload bytes after which a source or duplex closes; 0 = never")
	if err := parse(fs, args); err != nil {
		return err
	}
	m, err := echo.ParseMode(*mode)
	if err != nil {
		return err
	}
	var bound []string
	for address := range strings.SplitSeq(*addresses, ",") {
		s, startErr := echo.Start(*network, address, echo.Options{Mode: m, Raw: *raw, FrameBytes: *frame, TotalBytes: *total})
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		bound = append(bound, s.Addr().String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(serving{Address: strings.Join(bound, ",")}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
