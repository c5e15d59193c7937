package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"wsplice/admin"
	"wsplice/configs"
	"wsplice/pool"
	"wsplice/spawn"
)

// superviseCommand is for wsplice itself: it starts it for the backends that it
// spawns.
func superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use:                spawn.Command,
		Hidden:             true,
		DisableFlagParsing: true, // the flags are those of a backend
		RunE:               func(_ *cobra.Command, args []string) error { return spawn.Supervise(args) },
	}
}

// spawned are the backends that wsplice starts itself.
type spawned struct {
	manager *spawn.Manager
	pos     map[*spawn.Group]configs.Pos
	first   configs.Pos // of the first group
	owned   map[*pool.Server]bool
}

func newSpawned(log *slog.Logger) *spawned {
	return &spawned{manager: spawn.New(log), pos: make(map[*spawn.Group]configs.Pos), owned: make(map[*pool.Server]bool)}
}

// servers opens the sockets of a command and returns a server of the pool for
// each process that it may have.
func (b *spawned) servers(ctx context.Context, upstream string, s configs.Server) ([]*pool.Server, error) {
	group, err := b.manager.Add(ctx, spawnConfig(upstream, s))
	if err != nil {
		return nil, err
	}
	if len(b.pos) == 0 {
		b.first = s.Pos
	}
	b.pos[group] = s.Pos
	var servers []*pool.Server
	var backends []spawn.Backend
	for _, endpoint := range group.Endpoints() {
		server, err := pool.NewServer(ctx, endpoint.Network, endpoint.Address, s.Target.Host)
		if err != nil {
			return nil, err
		}
		servers, backends = append(servers, server), append(backends, server)
		b.owned[server] = true
	}
	group.Serve(backends)
	return servers, nil
}

func spawnConfig(upstream string, s configs.Server) spawn.Config {
	var set []spawn.Variable
	for _, v := range s.Spawn.Environment {
		set = append(set, spawn.Variable(v))
	}
	return spawn.Config{
		Name: upstream,
		Path: s.Spawn.Command[0], Args: s.Spawn.Command, Dir: filepath.Dir(s.Spawn.Command[0]),
		Env:        spawn.Environment(os.Environ(), s.Spawn.CopyEnvironment, set),
		KillSignal: s.Spawn.KillSignal, Systemd: s.Spawn.SocketActivation == "systemd",
		Network: s.Target.Network, Address: s.Target.Address, Backlog: s.Spawn.ListenBacklog,
		Min: s.Spawn.MinProcs, Max: s.Spawn.MaxProcs, Load: int64(s.Spawn.MaxLoad), Idle: s.Spawn.IdleTimeout,
	}
}

// start starts the first processes. An error says which line asked for them.
func (b *spawned) start() error {
	err := b.manager.Start()
	var failed *spawn.StartError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return at(b.pos[failed.Group], err)
	}
	return at(b.first, fmt.Errorf("backends: %w", err))
}

// spawnedFigures are the processes as the admin interface shows them. Where an
// upstream has a command twice, the figures are added up: metrics tell commands
// apart by their names.
func spawnedFigures(groups []spawn.GroupStats) []admin.SpawnedFigures {
	type name struct{ upstream, command string }
	known := make(map[name]int)
	var list []admin.SpawnedFigures
	for _, g := range groups {
		n := name{g.Name, g.Path}
		at, again := known[n]
		if !again {
			at = len(list)
			known[n] = at
			list = append(list, admin.SpawnedFigures{Upstream: g.Name, Command: g.Path})
		}
		sum := &list[at]
		sum.Running += g.Running
		sum.Starts += g.Starts
		sum.Deaths += g.Deaths
		sum.Failures += g.Failures
	}
	return list
}
