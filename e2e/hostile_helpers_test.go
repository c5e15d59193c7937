package e2e

import (
	"maps"
	"slices"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// rigSettle bounds the time a proxy may take until it holds what it held
// before: it includes the two seconds of a lingering close.
const rigSettle = 15 * time.Second

// named returns want for every request, under its name and in its order, and
// then more.
func named(want hostileCase, requests map[string]string, more ...hostileCase) []hostileCase {
	var cases []hostileCase
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		c := want
		c.name, c.request = name, requests[name]
		cases = append(cases, c)
	}
	return append(cases, more...)
}

// upgradeTo is a correct handshake for target.
func upgradeTo(target string) string { return rig.UpgradeRequest(target) }

// opens ends the test unless request opens a tunnel.
func (b *hostileBench) opens(t *testing.T, request string) {
	t.Helper()
	client := rig.Dial(t, b.proxy.Addr(0))
	client.Put(request)
	if a := client.Answer(); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
}
