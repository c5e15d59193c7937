package main

import (
	_ "embed"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"wsplice/bench/echo"
	"wsplice/configs"
	"wsplice/proxy"
)

//go:embed demo.html
var demoPage []byte

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Proxy on 127.0.0.1:8080 with a built-in echo backend and a page that tries it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			backend, err := echo.Start("tcp", "127.0.0.1:0", echo.Options{})
			if err != nil {
				return fmt.Errorf("start the echo backend: %w", err)
			}
			defer backend.Close()
			config := configs.Demo()
			pointAt(config, backend.Addr())
			page := proxy.Page{Path: "/", ContentType: "text/html; charset=utf-8", Body: demoPage}
			return serve(config, []proxy.Page{page}, cmd.ErrOrStderr(), func() {
				fmt.Fprintf(cmd.ErrOrStderr(), "Open http://%s/ in a browser; Ctrl-C ends the demo.\n", config.Listeners[0].Address)
			})
		},
	}
}

// pointAt sends every route of the demo to the backend.
func pointAt(c *configs.Config, backend net.Addr) {
	for i := range c.Routes {
		c.Routes[i].To = &configs.Target{Network: backend.Network(), Address: backend.String(), Host: backend.String(), Path: "/"}
	}
}
