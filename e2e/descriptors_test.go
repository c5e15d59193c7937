package e2e

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

// An outcome is how a handshake ended for one of many clients.
type outcome struct {
	client *rig.Client
	answer *rig.Answer
	err    error
}

// ask starts n handshakes at once and returns the channel of their outcomes.
func ask(t *testing.T, proxy *rig.Proxy, n int) <-chan outcome {
	t.Helper()
	outcomes := make(chan outcome, n)
	for range n {
		c := rig.Dial(t, proxy.Addr(0))
		go func() {
			_, _ = io.WriteString(c.Conn, upgradeTo("/ws/x")) // with TLS it waits for the handshake
			a, err := c.AnswerErr()
			outcomes <- outcome{c, a, err}
		}()
	}
	return outcomes
}

// A crowd is a number of clients that started their handshakes at once.
type crowd struct {
	outcomes        <-chan outcome
	open            []*rig.Client // got their tunnel
	served, refused int
}

// take records one outcome: a tunnel, or a refusal that says when to retry.
func (c *crowd) take(t *testing.T, o outcome) {
	t.Helper()
	switch {
	case o.err != nil:
		t.Errorf("a client got no answer: %v", o.err)
	case o.answer.Status == 101:
		c.served++
		c.open = append(c.open, o.client)
		return
	case o.answer.Status != 503 || o.answer.Header.Get("Retry-After") == "":
		t.Errorf("answer %q, want 101, or 503 with Retry-After", o.answer.Raw)
	}
	c.refused++
}

// settle takes outcomes until there are no news for a while.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	const silence = 500 * time.Millisecond
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case o := <-c.outcomes:
			c.take(t, o)
			timer.Reset(silence)
		case <-timer.C:
			return
		}
	}
}

// TestDescriptorLimit runs with 64 descriptors and has more clients than fit.
// The others wait or get 503; nobody spins, and what ends makes room.
func TestDescriptorLimit(t *testing.T) {
	const clients = 100
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Files: 64})
	c := &crowd{outcomes: ask(t, proxy, clients)}
	c.settle(t)
	t.Logf("%d served, %d refused, %d waiting", c.served, c.refused, clients-c.served-c.refused)
	if c.served < 8 || c.served == clients {
		t.Errorf("64 descriptors served %d tunnels", c.served)
	}
	if share := proxy.CPUShare(time.Second); share > idleCPUMax {
		t.Errorf("the proxy uses %.0f%% of a CPU at its limit", 100*share)
	}
	// Each that gets through is closed again, so that all must come through.
	for {
		for _, client := range c.open {
			_ = client.Close()
		}
		c.open = nil
		if c.served+c.refused == clients {
			break
		}
		c.take(t, rig.Receive(t, c.outcomes, "the waiting clients are served"))
	}
	rig.Eventually(t, rig.Soon, "a new client is served", func() bool {
		client, err := rig.OpenEcho(proxy.Addr(0), "/ws/x")
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
}

// lowestFree returns the number that the next descriptor of the process gets.
func lowestFree(t *testing.T, pid int) uint64 {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	used := map[int]bool{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		used[n] = true
	}
	for n := 0; ; n++ {
		if !used[n] {
			return uint64(n)
		}
	}
}

// limitFiles changes the limit of a running process under its feet, and
// returns the function that undoes it.
func limitFiles(t *testing.T, pid int, files uint64) (undo func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	set := func(limit unix.Rlimit) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
	set(unix.Rlimit{Cur: files, Max: old.Max})
	return func() { set(old) }
}

// TestEMFILE takes away every descriptor while clients are waiting. No event
// announces that there are descriptors again, so the proxy has to look.
func TestEMFILE(t *testing.T) {
	const clients = 20
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	lasting := rig.MustOpenEcho(t, proxy, "/ws/lasting")
	undo := limitFiles(t, proxy.PID, lowestFree(t, proxy.PID))
	outcomes := ask(t, proxy, clients)
	if share := proxy.CPUShare(time.Second); share > idleCPUMax {
		t.Errorf("the proxy uses %.0f%% of a CPU without descriptors", 100*share)
	}
	// An accept that io_uring had under way knows the old limit, one per loop:
	// its client is told that there is no descriptor for its backend. A tunnel
	// that is called back from its goroutines gives two, which may do for a whole
	// tunnel.
	answered := len(outcomes)
	if answered > 0 && rig.Async() && (rig.Engine() == "epoll" || answered > runtime.NumCPU()) {
		t.Errorf("%d clients were answered without a descriptor", answered)
	}
	for range answered {
		o := <-outcomes
		if o.err != nil || o.answer.Status != 503 && (rig.Async() || o.answer.Status != 101) {
			t.Errorf("a client got %+v, %v", o.answer, o.err)
		}
	}
	lasting.WantEcho("still here")
	undo()
	for range clients - answered {
		o := rig.Receive(t, outcomes, "the waiting clients are served")
		if o.err != nil || o.answer.Status != 101 {
			t.Errorf("a waiting client got %+v, %v", o.answer, o.err)
		}
	}
	lasting.WantEcho("and afterwards")
}

// TestSyncWithoutDescriptors opens tunnels that are to be served by goroutines
// until there is nothing left for one: its loop serves it, and well.
func TestSyncWithoutDescriptors(t *testing.T) {
	const files, tunnelsMax = 200, 60
	proxy := startToBackend(t, rig.EchoBackend(t), rig.Config{
		Files: files, Tunnel: rig.Settings{"async": "off"},
	})
	start := proxy.SettledUsage()
	var clients []*rig.Client
	for proxy.Metrics().Sum("wsplice_sync_refused_total") == 0 {
		if len(clients) == tunnelsMax {
			t.Fatalf("%d tunnels have four descriptors each, of %d", tunnelsMax, files)
		}
		clients = append(clients, rig.MustOpenEcho(t, proxy, "/ws/x"))
	}
	t.Logf("%d tunnels opened", len(clients))
	for i, c := range clients {
		c.WantEcho(fmt.Sprintf("tunnel %d", i))
		transfer(t, c.Conn, c, rig.Pattern(i), 1<<20)
		_ = c.Close()
	}
	proxy.WaitUsage(rigSettle, start)
}
