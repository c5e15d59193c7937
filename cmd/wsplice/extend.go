package main

import (
	"os"
	"slices"

	"wsplice/configs"
	"wsplice/h2"
	"wsplice/internal/sys"
	"wsplice/proxy"
)

// extendConnect makes this a process that serves WebSockets over HTTP/2, if a
// listener offers HTTP/2 and a route takes WebSockets: it executes the program
// again, in the same process. Nothing may have been opened or begun that would not
// be again. An error says that this was impossible.
func extendConnect(c *configs.Config, p *proxy.Config) error {
	if h2.Extended() {
		return h2.Restore() // what this process starts has no use for it
	}
	offered := slices.ContainsFunc(c.Listeners, func(l configs.Listener) bool { return l.TLS != nil && l.TLS.HTTP2 })
	wanted := slices.ContainsFunc(p.Routes, func(r proxy.Route) bool { return r.TakesWebSocket() })
	if !offered || !wanted {
		return nil
	}
	return sys.Exec("/proc/self/exe", os.Args, h2.Environ())
}
