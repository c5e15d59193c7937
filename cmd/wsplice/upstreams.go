package main

import (
	"context"
	"fmt"

	"wsplice/configs"
	"wsplice/pool"
)

// upstreams are those of a configuration, as they are built.
type upstreams struct {
	named   map[string]*pool.Upstream
	targets map[configs.Target]*pool.Upstream // of `to`, which routes may share
	spawned *spawned
	secured *secured
}

func buildUpstreams(ctx context.Context, c *configs.Config, spawned *spawned, secured *secured) (*upstreams, error) {
	all := &upstreams{make(map[string]*pool.Upstream), make(map[configs.Target]*pool.Upstream), spawned, secured}
	for _, u := range c.Upstreams {
		upstream, err := all.build(ctx, u)
		if err != nil {
			return nil, at(u.Pos, fmt.Errorf("upstream %s: %w", u.Name, err))
		}
		all.named[u.Name] = upstream
	}
	return all, nil
}

var (
	balances = map[string]pool.Balance{
		"least_connection": pool.LeastConnection, "round_robin": pool.RoundRobin,
		"hash": pool.Hash, "sticky": pool.Sticky, "by_traffic": pool.ByTraffic, "random_two": pool.RandomTwo,
		"lighttpd_hash": pool.LighttpdHash, "lighttpd_sticky": pool.LighttpdSticky,
	}
	statuses = map[string]pool.Status{
		"": pool.StatusNormal, "standby": pool.StatusStandby, "spare": pool.StatusSpare,
		"drain": pool.StatusDrain, "disabled": pool.StatusDisabled,
	}
)

func (all *upstreams) build(ctx context.Context, u configs.Upstream) (*pool.Upstream, error) {
	c := pool.Config{
		Name: u.Name, Balance: balances[u.Balance],
		DisableTime: u.DisableTime, Retries: u.Retries, SlowStart: u.SlowStart,
		ResolveInterval: u.ResolveInterval, Source: u.Source,
		Cookie: pool.Cookie{Name: u.Cookie.Name, Insert: u.Cookie.Insert},
	}
	for _, s := range u.Servers {
		servers, err := all.servers(ctx, u, s)
		if err != nil {
			return nil, err
		}
		for _, server := range servers {
			c.Members = append(c.Members, pool.Member{
				Server: server, Weight: s.Weight, Set: s.Set, Route: s.Route, Status: statuses[s.Status],
			})
		}
	}
	return pool.New(c)
}

// servers returns the server of an entry, or one for each process that it
// may have.
func (all *upstreams) servers(ctx context.Context, u configs.Upstream, s configs.Server) ([]*pool.Server, error) {
	if s.Spawn != nil {
		return all.spawned.servers(ctx, u.Name, s)
	}
	server, err := pool.NewServer(ctx, s.Target.Network, s.Target.Address, s.Target.Host)
	if err != nil {
		return nil, err
	}
	if err = all.secured.backend(server, s.Target, u.TLS); err != nil {
		return nil, err
	}
	if s.Status != "disabled" {
		server.KeepWarm(u.Warm)
	}
	return []*pool.Server{server}, nil
}

// target returns the upstream of a route's `to`. Its only server is never left
// out: whoever has nowhere else to go may as well try.
func (all *upstreams) target(ctx context.Context, t configs.Target) (*pool.Upstream, error) {
	t.Path, t.Query = "", ""
	if known := all.targets[t]; known != nil {
		return known, nil
	}
	server, err := pool.NewServer(ctx, t.Network, t.Address, t.Host)
	if err != nil {
		return nil, err
	}
	if err = all.secured.backend(server, t, nil); err != nil {
		return nil, err
	}
	upstream, err := pool.NewUpstream(server.Name(), pool.LeastConnection, []*pool.Server{server})
	if err != nil {
		return nil, err
	}
	all.targets[t] = upstream
	return upstream, nil
}
