package main

import (
	"log/slog"

	"wsplice/admin"
	"wsplice/configs"
	"wsplice/health"
	"wsplice/proxy"
)

var checkKinds = map[string]health.Kind{"tcp": health.TCP, "http": health.HTTP, "websocket": health.WebSocket}

// buildHealth returns the checks of the upstreams that routes lead to. routes
// are those of c, in the same order.
func buildHealth(
	c *configs.Config, routes []proxy.Route, spawned *spawned, budget health.Budget, log *slog.Logger,
) (*health.Monitor, error) {
	checks := make(map[string]*configs.Health)
	for _, u := range c.Upstreams {
		checks[u.Name] = u.Health
	}
	var targets []health.Target
	for i := range c.Routes {
		name := c.Routes[i].Upstream
		h := checks[name]
		if h == nil {
			continue
		}
		checks[name] = nil // once for each upstream, however many routes lead there
		check := health.Check{
			Kind: checkKinds[h.Type], Path: h.Path, Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall,
		}
		for _, server := range routes[i].Upstream.Servers() {
			if !spawned.owned[server] { // whether it has a process says whether it serves
				targets = append(targets, health.Target{Upstream: name, Server: server, Check: check})
			}
		}
	}
	return health.New(targets, budget, log)
}

// serverHealth is what the checks have found as the admin interface shows it. A
// server that stands twice in its upstream is shown once: metrics tell servers
// apart by their names.
func serverHealth(reports []health.Report) []admin.ServerHealth {
	type name struct{ upstream, server string }
	seen := make(map[name]bool)
	var list []admin.ServerHealth
	for _, r := range reports {
		if n := (name{r.Upstream, r.Server}); !seen[n] {
			seen[n] = true
			list = append(list, admin.ServerHealth(r))
		}
	}
	return list
}
