package importer

// A Feature is a part of the contract that a version of wsplice may not have
// yet. What needs a missing one becomes a Note; when it is there, the result
// uses it, and nothing here changes.
type Feature string

// The features that are asked for, each with the least configuration that uses
// it: see Probe.
const (
	FeatureTLSBackends   Feature = "TLS to backends"
	FeatureProxyProtocol Feature = "proxy_protocol"
	FeatureTrusted       Feature = "trusted_networks"
	FeatureWeight        Feature = "weight of a server"
	FeatureRoute         Feature = "route of a server"
	FeatureSet           Feature = "set of a server"
	FeatureStatus        Feature = "status of a server"
	FeatureByTraffic     Feature = "balance: by_traffic"
	FeatureSticky        Feature = "sticky_cookie"
	FeatureDisableTime   Feature = "disable_time"
	FeatureRetries       Feature = "retries"
	FeatureHealth        Feature = "health"
	FeatureEndpoint      Feature = "mode: endpoint"
	FeatureSpawn         Feature = "command of a server"
	FeatureLighttpdHash  Feature = "balance: lighttpd_hash and lighttpd_sticky"
)

const (
	probeRoute    = "routes: [{path: /, to: \"ws://127.0.0.1:1/\"}]\n"
	probeListener = "listeners: [{address: \":1\"}]\n"
	probeUpstream = probeListener + "routes: [{path: /, upstream: u}]\n"
)

var probes = map[Feature]string{
	FeatureTLSBackends:   probeListener + "routes: [{path: /, to: \"wss://127.0.0.1:1/\"}]\n",
	FeatureProxyProtocol: "listeners: [{address: \":1\", proxy_protocol: required}]\n" + probeRoute,
	FeatureTrusted:       "trusted_networks: [10.0.0.0/8]\n" + probeListener + probeRoute,
	FeatureWeight:        probeUpstream + "upstreams: {u: {servers: [{url: \"ws://127.0.0.1:1\", weight: 2}]}}\n",
	FeatureRoute:         probeUpstream + "upstreams: {u: {servers: [{url: \"ws://127.0.0.1:1\", route: a}]}}\n",
	FeatureSet:           probeUpstream + "upstreams: {u: {servers: [{url: \"ws://127.0.0.1:1\", set: 1}]}}\n",
	FeatureStatus:        probeUpstream + "upstreams: {u: {servers: [{url: \"ws://127.0.0.1:1\", status: standby}]}}\n",
	FeatureByTraffic:     probeUpstream + "upstreams: {u: {balance: by_traffic, servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
	FeatureSticky: probeUpstream + "upstreams: {u: {sticky_cookie: {name: a, insert: false}, " +
		"servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
	FeatureDisableTime:  probeUpstream + "upstreams: {u: {disable_time: 2s, servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
	FeatureRetries:      probeUpstream + "upstreams: {u: {retries: 2, servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
	FeatureEndpoint:     probeListener + "routes: [{path: /, mode: endpoint, to: \"tcp://127.0.0.1:1\"}]\n",
	FeatureSpawn:        probeUpstream + "upstreams: {u: {servers: [{socket: /run/u.sock, command: [/bin/true]}]}}\n",
	FeatureLighttpdHash: probeUpstream + "upstreams: {u: {balance: lighttpd_hash, servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
	FeatureHealth: probeUpstream + "upstreams: {u: {health: {type: tcp, interval: 5s}, " +
		"servers: [{url: \"ws://127.0.0.1:1\"}]}}\n",
}

// Probe returns a configuration that is accepted where f is supported.
func (f Feature) Probe() string { return probes[f] }

// Features returns every feature that has a probe.
func Features() []Feature {
	all := make([]Feature, 0, len(probes))
	for f := range probes {
		all = append(all, f)
	}
	return all
}
