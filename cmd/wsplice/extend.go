package main

import (
	"fmt"
	"os"

	"wsplice/configs"
	"wsplice/h2"
	"wsplice/internal/sys"
)

// extendConnect makes this a process that serves WebSockets over HTTP/2, if it is
// to: it executes the program again, in the same process. So nothing may have been
// opened or begun.
func extendConnect(c *configs.Config) error {
	if h2.Extended() {
		return h2.Restore() // what this process starts has no use for it
	}
	if !c.WebSocketsOverHTTP2() {
		return nil
	}
	err := sys.Exec("/proc/self/exe", os.Args, h2.Environ())
	return fmt.Errorf("start again to serve WebSockets over HTTP/2: %w; mount /proc, or set `http2: false` under tls", err)
}
