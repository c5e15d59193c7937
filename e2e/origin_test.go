package e2e

import (
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestOriginMatrix tries `origins: [example.com, "https://a.test"]`: who is
// refused is refused before a backend is contacted.
func TestOriginMatrix(t *testing.T) { eachService(t, originMatrix) }

func originMatrix(t *testing.T, bench *hostileBench) {
	origin := func(value string) string {
		return rig.UpgradeRequest("/origin/open", "Origin: "+value)
	}
	admitted := named(hostileCase{}, map[string]string{
		"the host":                 origin("https://example.com"),
		"the host with http":       origin("http://example.com"),
		"a sub-domain":             origin("https://chat.example.com"),
		"a sub-sub-domain":         origin("https://a.b.example.com"),
		"the origin with a scheme": origin("https://a.test"),
	})
	for _, c := range admitted {
		t.Run("admitted/"+c.name, func(t *testing.T) { bench.in(t).opens(t, c.request) })
	}
	refused := named(hostileCase{status: []int{403}, closes: true}, map[string]string{
		"null":                                  origin("null"),
		"another host":                          origin("https://other.test"),
		"a host with the same end":              origin("https://evilexample.com"),
		"the host as a sub-domain":              origin("https://example.com.evil.test"),
		"the host as a user":                    origin("https://example.com@evil.test"),
		"the host as a path":                    origin("https://evil.test/example.com"),
		"the host and a path":                   origin("https://example.com/"),
		"the host and a port":                   origin("https://example.com:8443"),
		"the host with a dot at its end":        origin("https://example.com."),
		"another top-level domain":              origin("https://example.org"),
		"another scheme":                        origin("http://a.test"),
		"another port":                          origin("https://a.test:444"),
		"a sub-domain of a whole origin":        origin("https://x.a.test"),
		"a letter that looks the same":          origin("https://ex\u0430mple.com"),
		"a refused one and a pipelined request": origin("https://other.test") + probe,
	})
	refused = append(refused, named(hostileCase{status: []int{400}, closes: true}, map[string]string{
		"no Origin":    upgradeTo("/origin/open"),
		"empty Origin": rig.UpgradeRequest("/origin/open", "Origin:"),
	})...)
	refused = append(refused, named(hostileCase{status: []int{400, 403}, closes: true}, map[string]string{
		"two Origins":        rig.UpgradeRequest("/origin/open", "Origin: https://example.com", "Origin: https://other.test"),
		"two Origins in one": origin("https://other.test https://example.com"),
	})...)
	for _, c := range refused {
		c.name = "refused/" + c.name
		bench.run(t, c)
	}
}
