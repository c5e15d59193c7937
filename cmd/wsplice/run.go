package main

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wsplice/admin"
	"wsplice/configs"
	"wsplice/proxy"
)

func runCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Serve until SIGTERM or SIGINT, then drain and exit 0",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := load(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(config, nil, cmd.ErrOrStderr(), func() {})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// serve runs a configuration until a signal ends it. ready is called when it
// listens.
func serve(c *configs.Config, pages []proxy.Page, stderr io.Writer, ready func()) error {
	// A reader of stderr that goes away must not take the proxy with it: Go ends
	// a process that writes to a broken pipe on descriptor 2, unless told not to.
	signal.Ignore(syscall.SIGPIPE)
	lines := newLineWriter(stderr)
	defer lines.Close()
	log := newLogger(c.Log, lines)
	// net/http tells of a backend's stray bytes here, with the bytes.
	stdlog.SetOutput(io.Discard)
	backends := newSpawned(log)
	defer backends.manager.Close()
	secured := newSecured(log)
	defer secured.Close()
	p, err := buildProxy(c, log, backends, secured)
	if err != nil {
		return err
	}
	// Before the proxy raises the limit of open files, which backends inherit.
	if err = backends.start(); err != nil {
		return err
	}
	p.Pages = pages
	tuneScheduler(p.Loops)
	server, err := proxy.New(p)
	if err != nil {
		return atListener(c, err)
	}
	monitor, err := buildHealth(c, p.Routes, backends, server.Budget(), log)
	if err != nil {
		server.Discard()
		return err
	}
	adminServer, err := buildAdmin(c.Admin, log, func() admin.Figures {
		f := figures(server.Stats())
		f.Health = serverHealth(monitor.Reports())
		f.Spawned = spawnedFigures(backends.manager.Stats())
		f.LogDropped += lines.dropped.Load()
		return f
	})
	if err != nil {
		server.Discard()
		return at(c.Admin.Pos, err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	debug.FreeOSMemory() // what the start needed, and is needed no more
	server.Start()
	monitor.Start()
	if adminServer != nil {
		go adminServer.Serve()
	}
	announce(log, c, server, adminServer)
	ready()
	waitForStop(log, signals)
	monitor.Close()
	drain(log, c, server, signals)
	if adminServer != nil {
		adminServer.Close()
	}
	backends.manager.Close()
	log.Info("stopped")
	return nil
}

// tuneScheduler gives the runtime one P more for each loop than it needs: a
// loop holds its P while it works and for up to 5 ms while it waits, and the
// log, the admin interface and the collector must not wait for that.
func tuneScheduler(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(loops + max(1, runtime.NumCPU()/2))
	}
}

func announce(log *slog.Logger, c *configs.Config, server *proxy.Server, adminServer *admin.Server) {
	for _, address := range server.Addresses() {
		log.Info("listening", "address", address)
	}
	if adminServer != nil {
		log.Info("admin listening", "address", adminServer.Address())
	}
	engine, memory, refused := server.Engine()
	log.Info("engine", "name", engine, "memory_bytes", memory)
	if refused != nil {
		log.Warn("engine: auto falls back to epoll", "because", refused)
	}
	// Whoever started the process waits for this line, whatever the log level.
	ready := slog.NewRecord(time.Now(), slog.LevelInfo, "ready", 0)
	ready.Add("version", version, "engine", engine, "loops", server.Loops(),
		"tunnels_max", server.TunnelsMax())
	_ = log.Handler().Handle(context.Background(), ready) // a log that fails is not worth dying for
}

// waitForStop returns at the first signal to stop.
func waitForStop(log *slog.Logger, signals <-chan os.Signal) {
	for sig := range signals {
		if sig != syscall.SIGHUP {
			log.Info("stopping", "signal", sig.String())
			return
		}
		log.Warn("SIGHUP ignored: reload is not supported yet; restart to change the configuration")
	}
}

// drain lets open tunnels end, for timeouts.drain at most; a second signal to
// stop ends the wait.
func drain(log *slog.Logger, c *configs.Config, server *proxy.Server, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeouts.Drain)
	defer cancel()
	go func() {
		for sig := range signals {
			if sig != syscall.SIGHUP {
				cancel()
				return
			}
		}
	}()
	if cut := server.Stop(ctx); cut > 0 {
		why := "a second signal"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			why = "timeouts.drain has passed"
		}
		log.Warn("open tunnels closed", "tunnels", cut, "because", why)
	}
}
