package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

const (
	chaosTunnels = 4_000 // in each of three runs
	chaosWorkers = 32
	// chaosPipes is few, so that tunnels compete for pipes, and one that is
	// not given back is missed.
	chaosPipes = 8
	// chaosTimeout is longer than a busy machine lets an undisturbed tunnel
	// wait; the others are killed within milliseconds.
	chaosTimeout = "3s"
)

// TestChaos opens thousands of tunnels and ends clients and backends at random
// moments in every state. Each direction of each tunnel has bytes of its own
// in which every offset is recognisable: one byte of another tunnel, one lost
// or one repeated is seen by whoever reads it.
//
// WSPLICE_SEED repeats a run as far as the scheduler lets it; WSPLICE_CHAOS,
// a duration, prolongs it.
func TestChaos(t *testing.T) {
	needsWsplice(t)
	for name, tunnel := range map[string]rig.Settings{
		"bytes":           {"frames": "off"},
		"frames":          {"frames": "auto"},
		"frames, delayed": {"frames": "auto", "async_delay": "3ms"}, // back and forth
	} {
		t.Run(name, func(t *testing.T) { runChaos(t, tunnel) })
	}
}

// runChaos is a run with streams of arbitrary bytes where frames are not
// followed, and of frames where they are. There the proxy may put a Close
// between two frames, and nothing anywhere else.
func runChaos(t *testing.T, tunnel rig.Settings) {
	c := newChaos(t)
	c.framed = tunnel["frames"] != "off"
	tunnel["half_close_timeout"] = chaosTimeout
	backend := rig.NewBackend(t, c.serve)
	proxy := rig.Start(t, rig.Config{
		Limits:   rig.Settings{"pipes": strconv.Itoa(chaosPipes)},
		Timeouts: rig.Settings{"dial": chaosTimeout, "upgrade": chaosTimeout, "head": chaosTimeout},
		Tunnel:   tunnel,
		Routes: fmt.Sprintf(`
- {path: /ws/, to: "%s/"}
- {path: /pending/, to: "ws://%s/"}
- {path: /down/, to: "ws://%s/"}`, backend.URL(), rig.Blackhole(t), rig.RefusingAddress(t)),
	})
	c.address = proxy.Addr(0)
	start := proxy.SettledUsage()
	c.run()
	c.report(t, proxy)
	t.Logf("%d tunnels, of them %d complete; %d bytes checked",
		c.count.Load(), c.complete.Load(), c.checked.Load())
	proxy.WaitUsage(rigSettle, start)
	if rig.Splices() {
		c.checkSplicing(t, proxy)
	}
}

// A chaos is one run: what client and backend of each tunnel agreed on, and
// the first thing that went wrong.
type chaos struct {
	address string
	seed    uint64
	framed  bool
	until   time.Time // zero: until chaosTunnels were opened

	plans    sync.Map // of id to *chaosPlan
	count    atomic.Int64
	complete atomic.Int64
	checked  atomic.Int64
	failed   atomic.Pointer[chaosFailure]
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("WSPLICE_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.seed = seed
	}
	if text := os.Getenv("WSPLICE_CHAOS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		c.until = time.Now().Add(d)
	}
	t.Logf("WSPLICE_SEED=%d", c.seed)
	return c
}

func (c *chaos) run() {
	total := int64(chaosTunnels)
	if testing.Short() || os.Getenv("WSPLICE_RACE") == "1" {
		total /= 8
	}
	var workers sync.WaitGroup
	for range chaosWorkers {
		workers.Go(func() {
			for c.failed.Load() == nil {
				id := c.count.Add(1)
				if c.until.IsZero() && id > total || !c.until.IsZero() && time.Now().After(c.until) {
					c.count.Add(-1)
					return
				}
				c.tunnel(uint64(id))
			}
		})
	}
	workers.Wait()
}

// report ends the test if something went wrong, with what the proxy's log says
// of that tunnel.
func (c *chaos) report(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
	f := c.failed.Load()
	if f == nil {
		return
	}
	number := ""
	target := "/" + strconv.FormatUint(f.id, 10)
	for _, line := range proxy.Logs.Since(0) {
		if strings.HasSuffix(line.Text("target"), target) {
			number = line.Text("tunnel")
		}
		if number != "" && line.Text("tunnel") == number {
			t.Logf("%v", line)
		}
	}
	if plan, ok := c.plans.Load(f.id); ok {
		t.Logf("the plan: %+v", *plan.(*chaosPlan))
	}
	t.Fatalf("tunnel %d (WSPLICE_SEED=%d): %s", f.id, c.seed, f.text)
}

// A chaosFailure is what went wrong, and in which tunnel.
type chaosFailure struct {
	id   uint64
	text string
}

// fail keeps the first failure and stops the run.
func (c *chaos) fail(id uint64, format string, args ...any) {
	c.failed.CompareAndSwap(nil, &chaosFailure{id, fmt.Sprintf(format, args...)})
}

// checkSplicing sends bulk through one tunnel: it is spliced only if the few
// pipes of the run came back.
func (c *chaos) checkSplicing(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
	before := laneBytes(proxy.Metrics(), "splice")
	plan := &chaosPlan{id: 1 << 40, backend: backendOpens, up: 32 << 20, down: 32 << 20, completes: true}
	c.plans.Store(plan.id, plan)
	c.client(plan, rand.New(rand.NewPCG(c.seed, plan.id)))
	c.report(t, proxy)
	if after := laneBytes(proxy.Metrics(), "splice"); after <= before {
		t.Errorf("bulk is not spliced any more: have the %d pipes leaked?", chaosPipes)
	}
}

// errGone is the end of a tunnel that was refused, as its plan may want.
var errGone = errors.New("gone")
