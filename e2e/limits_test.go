package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// shortTimeout is the timeout that tests configure where they wait for it,
// and shortLate is when it must have fired, on a busy machine too.
const (
	shortTimeout = 400 * time.Millisecond
	shortLate    = 5 * time.Second
)

// within runs f and ends the test unless it took at least low (less a tick of
// tolerance) and less than high.
func within(t *testing.T, low, high time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took < low-20*time.Millisecond || took > high {
		t.Fatalf("took %v, want %v to %v", took, low, high)
	}
}

func startToBackend(t *testing.T, b *rig.Backend, cfg rig.Config) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	cfg.Routes = fmt.Sprintf(`- {path: /ws/, to: "%s/"}`, b.URL())
	return rig.Start(t, cfg)
}

func TestHeadTimeout(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"head": "400ms"}})
	head := upgradeTo("/ws/x")
	t.Run("head that stops", func(t *testing.T) {
		client := rig.Dial(t, proxy.In(t).Addr(0))
		within(t, shortTimeout, shortLate, func() {
			client.Put(head[:len(head)-2])
			want408(t, client)
		})
	})
	t.Run("head that never stops", func(t *testing.T) {
		// One byte after the other: none of them may prolong the time.
		client := rig.Dial(t, proxy.In(t).Addr(0))
		stop := make(chan struct{})
		defer close(stop)
		go drip(client, "GET /ws/x HTTP/1.1\r\nX-Slow: "+strings.Repeat("x", 1<<14), stop)
		within(t, shortTimeout, shortLate, func() { want408(t, client) })
	})
	t.Run("no byte at all", func(t *testing.T) {
		client := rig.Dial(t, proxy.In(t).Addr(0))
		within(t, shortTimeout, shortLate, func() {
			_ = client.SetReadDeadline(time.Now().Add(rig.Soon))
			got, err := io.ReadAll(client)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
				t.Errorf("answer %q, want 408 or nothing", got)
			}
		})
	})
	if n := backend.Accepts(); n != 0 {
		t.Errorf("the backend was contacted %d times", n)
	}
}

func want408(t *testing.T, client *rig.Client) {
	t.Helper()
	if a := client.Answer(); a.Status != 408 {
		t.Errorf("answer %q, want 408", a.Raw)
	}
	client.WantEnd()
}

// drip sends a byte every 20 ms until stop is closed.
func drip(w io.Writer, text string, stop <-chan struct{}) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for i := range text {
		select {
		case <-stop:
			return
		case <-pace.C:
			if _, err := io.WriteString(w, text[i:i+1]); err != nil {
				return
			}
		}
	}
}

// paddedHead returns a correct handshake of exactly size bytes.
func paddedHead(target string, size int) string {
	without := len(rig.UpgradeRequest(target, "X-Filler: "))
	return rig.UpgradeRequest(target, "X-Filler: "+strings.Repeat("x", size-without))
}

func TestHeadBytes(t *testing.T) {
	const limit = 4096
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Limits: rig.Settings{"head_bytes": "4KiB"}})
	t.Run("exactly the limit", func(t *testing.T) {
		client := rig.Dial(t, proxy.In(t).Addr(0))
		client.Put(paddedHead("/ws/x", limit))
		if a := client.Answer(); a.Status != 101 {
			t.Fatalf("answer %q, want 101", a.Raw)
		}
		client.WantEcho("ping")
	})
	before := backend.Accepts()
	tooLarge := map[string]string{
		"one byte more":          paddedHead("/ws/x", limit+1),
		"much more":              paddedHead("/ws/x", 10*limit),
		"a long target":          upgradeTo("/ws/" + strings.Repeat("x", 2*limit)),
		"many fields":            rig.UpgradeRequest("/ws/x", strings.Split(strings.Repeat("X-F: 1\n", 2000), "\n")[:2000]...),
		"a name that never ends": "GET /ws/x HTTP/1.1\r\n" + strings.Repeat("x", 2*limit),
	}
	for name, head := range tooLarge {
		for _, step := range []int{0, 1000} {
			t.Run(fmt.Sprintf("%s/pieces of %d", name, step), func(t *testing.T) {
				client := rig.Dial(t, proxy.In(t).Addr(0))
				client.Offer(head, step)
				if a := client.Answer(); a.Status != 431 {
					t.Errorf("answer %q, want 431", a.Raw)
				}
				client.WantEnd()
			})
		}
	}
	if n := backend.Accepts() - before; n != 0 {
		t.Errorf("the backend was contacted %d times", n)
	}
}

func TestNoBackendAnswers503(t *testing.T) {
	needsWsplice(t)
	targets := map[string]string{
		"refused":               "ws://" + rig.RefusingAddress(t),
		"connect never answers": "ws://" + rig.Blackhole(t),
		"no such socket":        "unix:" + rig.TempDir(t, 0) + "/none.sock",
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			proxy := rig.Start(t, rig.Config{
				Timeouts: rig.Settings{"dial": "400ms"},
				Routes:   fmt.Sprintf(`- {path: /ws/, to: "%s"}`, target),
			})
			// Twice, because a failed server may be left out the second time.
			for range 2 {
				client := rig.Dial(t, proxy.Addr(0))
				client.Put(upgradeTo("/ws/x"))
				if a := client.Answer(); a.Status != 503 {
					t.Fatalf("answer %q, want 503", a.Raw)
				}
			}
		})
	}
}

func TestSilentBackendAnswers504(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"upgrade": "400ms"}})
	parts := map[string]string{
		"nothing":        "",
		"half an answer": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: web",
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			client := rig.Dial(t, proxy.In(t).Addr(0))
			within(t, shortTimeout, shortLate, func() {
				client.Put(upgradeTo("/ws/x"))
				server := backend.In(t).Next()
				server.WantHead()
				server.Put(part)
				if a := client.Answer(); a.Status != 504 {
					t.Errorf("answer %q, want 504", a.Raw)
				}
				server.WantGone()
			})
		})
	}
}

func TestTunnelsLimit(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Limits: rig.Settings{"tunnels": "2"}})
	first, second := rig.MustOpenEcho(t, proxy, "/ws/x"), rig.MustOpenEcho(t, proxy, "/ws/x")
	third := rig.Dial(t, proxy.Addr(0))
	third.Put(upgradeTo("/ws/x"))
	a := third.Answer()
	if a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("the third gets %q, want 503 with Retry-After", a.Raw)
	}
	if n := backend.Accepts(); n != 2 {
		t.Errorf("the backend has %d connections, want 2", n)
	}
	// The refused one cost nothing, and what ends makes room.
	_ = first.Close()
	rig.Eventually(t, rig.Soon, "a new tunnel after one has ended", func() bool {
		c, err := rig.OpenEcho(proxy.Addr(0), "/ws/x")
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	second.WantEcho("still here")
}
