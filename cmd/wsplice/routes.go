package main

import (
	"context"

	"wsplice/configs"
	"wsplice/handshake"
	"wsplice/proxy"
	"wsplice/route"
)

// buildRoutes resolves all backends, within resolveTimeout, and prepares those
// that are spawned.
func buildRoutes(c *configs.Config, spawned *spawned, secured *secured) ([]proxy.Route, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	all, err := buildUpstreams(ctx, c, spawned, secured)
	if err != nil {
		return nil, err
	}
	var routes []proxy.Route
	for i := range c.Routes {
		built, err := buildRoute(ctx, &c.Routes[i], all)
		if err != nil {
			return nil, at(c.Routes[i].Pos, err)
		}
		routes = append(routes, built)
	}
	return routes, nil
}

func buildRoute(ctx context.Context, r *configs.Route, all *upstreams) (proxy.Route, error) {
	built := proxy.Route{
		Pattern: route.Pattern{Prefix: r.Path, Regexp: r.Regex, Suffix: r.Suffix, Hosts: r.Hosts},
		Mode:    modes[r.Mode],
		Upgrade: proxy.Upgrade{Protocols: r.Upgrade.Protocols, Any: r.Upgrade.Any, Unasked: r.Upgrade.None},
		Remove:  r.RequestHeaders.Remove,
		Origins: r.Origins, Lenient: r.Lenient, PreserveHost: r.PreserveHost,
	}
	for _, h := range r.Headers {
		built.Pattern.Headers = append(built.Pattern.Headers, route.Header{Name: h.Name, Match: h.Match})
	}
	for _, h := range r.RequestHeaders.Set {
		built.Set = append(built.Set, handshake.ForwardField{Name: h.Name, Value: h.Value})
	}
	built.Name = routeName(r)
	buildTunnel(&built, r.Tunnel)
	built.Endpoint = proxy.Endpoint{
		Binary: r.FrameType == "binary", Subprotocols: r.Subprotocols, Deflate: r.Deflate,
		MessageBytes: r.Tunnel.MessageBytes, FrameBytes: r.Tunnel.FrameBytes,
	}
	if built.Mode == proxy.ModeDeny {
		return built, nil
	}
	return built, buildTarget(ctx, &built, r, all)
}

// routeName is what the log calls a route: what the file says it matches.
func routeName(r *configs.Route) string {
	switch {
	case r.Regex != nil:
		return r.Regex.String()
	case r.Suffix != "":
		return r.Suffix
	}
	return r.Path
}

var (
	modes = map[string]proxy.Mode{
		"tunnel": proxy.ModeTunnel, "endpoint": proxy.ModeEndpoint, "http": proxy.ModeHTTP, "deny": proxy.ModeDeny,
	}
	frames = map[string]proxy.Frames{"auto": proxy.FramesAuto, "always": proxy.FramesAlways, "off": proxy.FramesOff}
)

func buildTunnel(built *proxy.Route, t configs.Tunnel) {
	built.IdleTimeout, built.HalfCloseTimeout, built.Lifetime = t.IdleTimeout, t.HalfCloseTimeout, t.Lifetime
	built.Sync, built.AsyncDelay = !t.Async, t.AsyncDelay
	built.Frames, built.PingInterval, built.PongTimeout = frames[t.Frames], t.PingInterval, t.PongTimeout
}

// buildTarget says where requests go to, and what becomes of their path.
func buildTarget(ctx context.Context, built *proxy.Route, r *configs.Route, all *upstreams) error {
	base, keepPath := r.Rewrite, r.Rewrite == ""
	if r.To == nil {
		built.Upstream = all.named[r.Upstream]
	} else {
		var err error
		if built.Upstream, err = all.target(ctx, *r.To); err != nil {
			return err
		}
		base, keepPath = r.To.Path, r.Suffix != ""
		if r.To.Query != "" {
			base += "?" + r.To.Query
		}
	}
	if keepPath {
		return nil // the zero Target passes the path on
	}
	var err error
	built.Target, err = route.NewTarget(&built.Pattern, base)
	return err
}
