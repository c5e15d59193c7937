package importer

import (
	"fmt"
	"slices"
	"strings"
)

// directParams are what a route to one backend can express; balancedParams
// what stands on a ProxyPass to a balancer.
var (
	directParams   = []string{"upgrade", "timeout", "connectiontimeout"}
	balancedParams = []string{"upgrade"}
	memberParams   = []string{
		"loadfactor", "route", "lbset", "status", "retry", "timeout", "connectiontimeout", "upgrade",
		"hcmethod", "hcpasses", "hcfails", "hcinterval", "hcuri",
	}
	balancerParams = []string{"lbmethod", "stickysession", "maxattempts"}
)

// leftParams says why the others are left out.
var leftParams = map[string]string{
	"retry":             "with one backend there is no other to go to meanwhile",
	"keepalive":         "tcp: keepalive watches both sides of every connection",
	"disablereuse":      "a tunnel never shares its connection",
	"enablereuse":       "a tunnel never shares its connection",
	"max":               "there is no pool of connections to bound; see limits: tunnels",
	"min":               "there is no pool of connections",
	"smax":              "there is no pool of connections",
	"ttl":               "there is no pool of connections",
	"acquire":           "there is no pool of connections to wait for",
	"ping":              "the next backend is tried when one does not answer the connect; see health: of an upstream",
	"flushpackets":      "bytes are passed on at once",
	"flushwait":         "bytes are passed on at once",
	"iobuffersize":      "buffers are sized by wsplice",
	"receivebuffersize": "buffers are sized by wsplice",
	"responsefieldsize": "limits: head_bytes bounds the whole head",
	"addressttl":        "see resolve_interval: of an upstream",
	"nocanon":           "the path is normalised to be matched, and other escapes go on as they came",
	"interpolate":       "variables in targets have no counterpart",
	"noquery":           "the query is always passed on",
	"secret":            "it is for AJP",
	"mapping":           "paths are matched in their decoded form",
	"redirect":          "a session whose server is down goes to any other",
	"nofailover":        "a session whose server is down goes to any other",
	"stickysessionsep":  "the separator is a dot",
	"scolonpathdelim":   "sessions are found in cookies only",
	"failonstatus":      "only a failed connection counts against a server; see health:",
	"failontimeout":     "only a failed connection counts against a server; see health:",
	"forcerecovery":     "when all servers are left out, the answer is 503 until the first one's disable_time has passed",
	"timeout":           "a balancer has nothing to wait for: when no server is left, the answer is 503 at once",
	"connectiontimeout": "httpd takes it on a member only",
	"growth":            "servers are added in the file",
	"nonce":             "there is no balancer-manager",
}

// left describes the parameters that are not carried over.
func left(params []apacheParam, keywords, carried []string) string {
	var parts []string
	add := func(key, shown string) {
		reason, known := leftParams[key]
		if !known {
			reason = "wsplice has no counterpart"
		}
		parts = append(parts, shown+" ("+reason+")")
	}
	for _, p := range params {
		switch {
		case slices.Contains(carried, p.key):
		case p.key == "secret":
			add(p.key, p.key)
		default:
			add(p.key, p.key+"="+p.value)
		}
	}
	for _, key := range keywords {
		add(key, key)
	}
	return strings.Join(parts, ", ")
}

// leave notes the parameters of a mapping that have no counterpart.
func (b *apacheBuilder) leave(r *apacheDraft, m *apacheMapping, params []apacheParam, carried []string) {
	if text := left(params, m.keyword, carried); text != "" {
		r.note(m.at.Pos, "%s: left out: %s", m.at.name, text)
	}
}

// params returns the parameters of a mapping on top of what <Proxy URL> and
// ProxySet say about its backend.
func (b *apacheBuilder) params(m *apacheMapping) []apacheParam {
	var all []apacheParam
	for _, w := range b.config.workers {
		if within(m.target, w.url) {
			all = append(all, w.params...)
		}
	}
	return append(all, m.params...)
}

// within reports whether url is a worker's URL or below it.
func within(url, worker string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(url), strings.ToLower(strings.TrimSuffix(worker, "/")))
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

// weights turns load factors, which may have decimals, into whole numbers.
//
// Only ratios of more than 1 to 100 are not exact.
func weights(factors []string) ([]int, string) {
	hundredths := make([]int, len(factors))
	common, most := 0, 0
	for i, f := range factors {
		n, ok := hundred(f)
		if !ok {
			return nil, fmt.Sprintf("loadfactor=%s is not a number from 1 to 100", f)
		}
		hundredths[i] = n
		common, most = divisor(common, n), max(most, n)
	}
	for i := range hundredths {
		if hundredths[i] /= common; most/common > weightMax {
			hundredths[i] = max(1, (hundredths[i]*common*weightMax+most/2)/most)
		}
	}
	return hundredths, ""
}

// hundred returns 100 times a number from 1 to 100 with at most two decimals.
func hundred(text string) (int, bool) {
	units, decimals, _ := strings.Cut(text, ".")
	digits := units + (decimals + "00")[:2]
	if len(units) == 0 || len(units) > 3 || len(decimals) > 2 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n, n >= 100 && n <= 10_000
}

func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
