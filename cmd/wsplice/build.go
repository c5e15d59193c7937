package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"wsplice/admin"
	"wsplice/configs"
	"wsplice/internal/sys"
	"wsplice/proxy"
)

// resolveTimeout bounds looking up all backends at start.
const resolveTimeout = 10 * time.Second

// buildProxy turns a checked configuration into what the proxy runs.
func buildProxy(c *configs.Config, log *slog.Logger, spawned *spawned, secured *secured) (proxy.Config, error) {
	p := proxy.Config{
		Loops:  c.Loops,
		Engine: c.Engine,
		Pin:    c.PinCPUs,
		Limits: proxy.Limits{
			Tunnels: c.Limits.Tunnels, TunnelsPerIP: c.Limits.TunnelsPerIP,
			HandshakesPerSecond: c.Limits.HandshakesPerSecond,
			Head:                c.Limits.HeadBytes,
			Pipes:               c.Limits.Pipes, Parked: c.Limits.ParkedBytes,
		},
		Timeouts: proxy.Timeouts{Head: c.Timeouts.Head, Dial: c.Timeouts.Dial, Upgrade: c.Timeouts.Upgrade},
		Trusted:  c.TrustedNetworks,
		TCP:      proxy.TCP{Keepalive: c.TCP.Keepalive, UserTimeout: c.TCP.UserTimeout},
		Log:      log,

		Handshakes: secured.gate,
	}
	if p.Loops == 0 {
		p.Loops = sys.UsableCPUs()
	}
	switch c.Log.Tunnels {
	case "close":
		p.LogTunnels = proxy.LogClose
	case "off":
		p.LogTunnels = proxy.LogOff
	}
	for _, l := range c.Listeners {
		listener, err := buildListener(l, secured)
		if err != nil {
			return p, at(l.Pos, err)
		}
		p.Listeners = append(p.Listeners, listener)
	}
	routes, err := buildRoutes(c, spawned, secured)
	p.Routes = routes
	return p, err
}

var greetings = map[string]proxy.Greeting{
	"off": proxy.GreetingOff, "optional": proxy.GreetingOptional, "required": proxy.GreetingRequired,
}

func buildListener(l configs.Listener, secured *secured) (proxy.Listener, error) {
	built := proxy.Listener{
		Network: "tcp", Address: l.Address, DeferAccept: l.DeferAccept, ProxyProtocol: greetings[l.ProxyProtocol],
	}
	if l.TLS != nil {
		var err error
		if built.TLS, err = secured.server(l.TLS); err != nil {
			return built, err
		}
		built.SubjectHeader, built.FingerprintHeader = l.TLS.SubjectHeader, l.TLS.FingerprintHeader
	}
	path, isUnix := l.SocketPath()
	if !isUnix {
		return built, nil
	}
	built.Network, built.Address, built.Mode = "unix", path, l.Mode
	var err error
	if built.UID, built.GID, err = accounts(l); err != nil {
		return built, err
	}
	return built, nil
}

// accounts returns the numbers of a unix socket's owner and group.
func accounts(l configs.Listener) (uid, gid int, err error) {
	uid, err = lookupID(l.Owner, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return uid, gid, err
	}
	gid, err = lookupID(l.Group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return uid, gid, err
}

// lookupID returns the number of a user or group given by name or number, -1
// for none.
func lookupID(name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	text, err := lookup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(text)
}

// buildAdmin binds the admin interface, or returns nil when it is off.
func buildAdmin(c configs.Admin, log *slog.Logger, source admin.Source) (*admin.Server, error) {
	if c.Address == "" {
		return nil, nil //nolint:nilnil // no interface and no error is what "off" means
	}
	a := admin.Config{Network: "tcp", Address: c.Address, Log: log, Source: source}
	if path, isUnix := c.SocketPath(); isUnix {
		a.Network, a.Address = "unix", path
	}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("admin.token_file: %w", err)
		}
		if a.Token = strings.TrimSpace(string(token)); a.Token == "" {
			return nil, fmt.Errorf("admin.token_file: %s is empty", c.TokenFile)
		}
	}
	return admin.New(a)
}

// figures are the server's counters as the admin interface shows them.
func figures(s proxy.Stats) admin.Figures {
	f := admin.Figures{
		TunnelsOpen: s.Open, TunnelsOpened: s.Opened, Connections: s.Accepted, AcceptErrors: s.AcceptErrors,
		Refusals: s.Refusals, HTTP: s.HTTP, RelayedRefusals: s.RelayedRefusals, DialFailures: s.DialFailures,
		Splices: s.Splices, Blind: s.Blind, Violations: s.Violations, SyncRefused: s.SyncRefused,
		Pipes: s.Pipes, PipesRefused: s.PipeRefused,
		DescriptorsLeft: s.Descriptors, LogDropped: s.LogDropped,
		WarmIdle: s.WarmIdle, WarmTaken: s.WarmTaken, WarmDead: s.WarmDead,
		HTTP2Connections: s.HTTP2Connections, HTTP2Requests: s.HTTP2Requests,
		TLSFailures: s.TLSFailures, TLSUnderWay: s.TLSUnderWay,
	}
	for _, u := range s.Servers {
		f.Servers = append(f.Servers, admin.ServerFigures(u))
	}
	for _, b := range s.Bytes {
		f.Bytes = append(f.Bytes, admin.LaneBytes(b))
	}
	for _, l := range s.Loops {
		f.LoopTicks = append(f.LoopTicks, l.Ticks)
		f.StaleEvents += l.Stale
		f.DryReceives += l.Dry
		f.LateCompletions += l.Overflows
	}
	return f
}
