package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

const (
	// scaleTunnels is what fits under 20,000 descriptors per process: two for
	// each tunnel in the proxy, one in each helper.
	scaleTunnels = 9000
	// scaleSyncTunnels is the same for tunnels that are served by goroutines:
	// four descriptors for each.
	scaleSyncTunnels = 4500
	// scaleWorkers is how many connections a helper works on at once.
	scaleWorkers = 32
	// echoBytes is the size of one echoed message.
	echoBytes = 128
	// scaleLimit bounds each step of the helpers.
	scaleLimit = 60 * time.Second
)

// A cost is what a tunnel takes of the process.
type cost struct{ files, goroutines int }

// costs are those of tunnels that are served by a loop, and by goroutines.
var costs = map[bool]cost{true: {2, 0}, false: {4, 2}}

// wantCost ends the test unless count tunnels take what they should.
func wantCost(t *testing.T, start, full rig.Usage, count int, each cost) {
	t.Helper()
	files, goroutines := full.Files-start.Files, full.Goroutines-start.Goroutines
	if want := count * each.files; files < want || files > want+10 {
		t.Errorf("%d tunnels take %d descriptors, want %d each", count, files, each.files)
	}
	if want := count * each.goroutines; goroutines < want-rig.GoroutinesSlack || goroutines > want+rig.GoroutinesSlack {
		t.Errorf("%d tunnels take %d goroutines, want %d each", count, goroutines, each.goroutines)
	}
}

// TestGoroutines counts those of idle tunnels: with async none at all.
func TestGoroutines(t *testing.T) {
	needsWsplice(t)
	server := rig.StartHelper(t, "echo server")
	address := server.AskToListen()
	clients := rig.StartHelper(t, "many clients")
	for _, c := range []struct {
		name   string
		count  int
		cost   cost
		tunnel rig.Settings
	}{
		{"async", 5000, costs[true], rig.Settings{"async": "on"}},
		{"sync", 500, costs[false], rig.Settings{"async": "off"}},
		{"delayed", 500, costs[true], rig.Settings{"async_delay": "50ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := rig.Start(t, rig.Config{
				Tunnel: c.tunnel, Routes: fmt.Sprintf(`- {path: /ws/, to: "ws://%s/"}`, address),
			})
			helper := clients.In(t)
			openAndCloseMany(t, proxy, helper, 100)
			start := proxy.SettledUsage()
			helper.Ask(scaleLimit, "open %d %s", c.count, proxy.Addr(0))
			helper.Ask(scaleLimit, "echo 0")
			wantCost(t, start, proxy.SettledUsage(), c.count, c.cost)
			helper.Ask(scaleLimit, "close")
			proxy.WaitUsage(rigSettle, start)
		})
	}
}

// TestManyTunnels holds 9,000 tunnels open in one process, echoes through each
// of them in turn, and closes them: then everything is as it was before.
func TestManyTunnels(t *testing.T) {
	needsWsplice(t)
	count := scaleTunnels
	if !rig.Async() {
		count = scaleSyncTunnels
	}
	if testing.Short() {
		count /= 10
	}
	server := rig.StartHelper(t, "echo server")
	address := server.AskToListen()
	proxy := rig.Start(t, rig.Config{Routes: fmt.Sprintf(`- {path: /ws/, to: "ws://%s/"}`, address)})
	clients := rig.StartHelper(t, "many clients")
	openAndCloseMany(t, proxy, clients, 100) // so that pools and tables are as large as they get
	start := proxy.SettledUsage()

	took := stopwatch()
	if n := clients.AskNumber(scaleLimit, "open %d %s", count, proxy.Addr(0)); n != count {
		t.Fatalf("%d of %d tunnels opened", n, count)
	}
	t.Logf("%d tunnels opened in %v", count, took())
	proxy.WaitTunnels(count)
	wantCost(t, start, proxy.SettledUsage(), count, costs[rig.Async()])
	for round := range 3 {
		took := stopwatch()
		clients.Ask(scaleLimit, "echo %d", round)
		t.Logf("round %d of echoes took %v", round, took())
	}
	if share := proxy.CPUShare(time.Second); share > idleCPUMax {
		t.Errorf("%d idle tunnels use %.0f%% of a CPU", count, 100*share)
	}
	clients.Ask(scaleLimit, "close")
	proxy.WaitUsage(rigSettle, start)
}

func openAndCloseMany(t *testing.T, proxy *rig.Proxy, clients *rig.Helper, n int) {
	t.Helper()
	clients.Ask(scaleLimit, "open %d %s", n, proxy.Addr(0))
	clients.Ask(scaleLimit, "echo 0")
	clients.Ask(scaleLimit, "close")
	proxy.WaitTunnels(0)
}

func stopwatch() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start).Round(time.Millisecond) }
}

// newEchoServerRole serves echoes in a process of its own. "listen" answers
// with its address.
func newEchoServerRole() rig.Role {
	return func(string) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "error: " + err.Error()
		}
		ln = rig.SecureListener(ln)
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go serveSmallEcho(conn)
			}
		}()
		return ln.Addr().String()
	}
}

// serveSmallEcho holds little memory per connection, unlike rig.BackendConn.
func serveSmallEcho(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 1024)
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	_, err = io.WriteString(conn, rig.SwitchingProtocols(request.Header.Get("Sec-WebSocket-Key")))
	b := make([]byte, 2*echoBytes)
	for err == nil {
		var n int
		if n, err = r.Read(b); n > 0 {
			if _, werr := conn.Write(b[:n]); werr != nil {
				return
			}
		}
	}
}

// newManyClientsRole holds many tunnels in a process of its own: "open N
// ADDRESS" answers with how many it opened, "echo ROUND" and "close" with ok.
func newManyClientsRole() rig.Role {
	var tunnels []*rig.Client
	return func(ask string) string {
		var n int
		var address string
		var err error
		switch {
		case scan(ask, "open %d %s", &n, &address):
			tunnels, err = openTunnels(n, address)
			if err == nil {
				return fmt.Sprint(len(tunnels))
			}
		case scan(ask, "echo %d", &n):
			err = eachOf(len(tunnels), func(i int) error { return echoOnce(tunnels[i], i, n) })
		case ask == "close":
			for _, c := range tunnels {
				_ = c.Close()
			}
			tunnels = nil
		default:
			err = errors.New(ask + "?")
		}
		if err != nil {
			return "error: " + err.Error()
		}
		return "ok"
	}
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func openTunnels(n int, address string) ([]*rig.Client, error) {
	tunnels := make([]*rig.Client, n)
	err := eachOf(n, func(i int) (err error) {
		tunnels[i], err = rig.OpenEcho(address, fmt.Sprintf("/ws/%d", i))
		return err
	})
	return tunnels, err
}

// echoOnce sends bytes that no other tunnel and no other round sends.
func echoOnce(c *rig.Client, tunnel, round int) error {
	stream := rig.Pattern(tunnel*1000 + round)
	if err := c.SetDeadline(time.Now().Add(rig.Soon)); err != nil { // in place of what opening it took
		return err
	}
	if err := stream.Send(c.Conn, 0, echoBytes, nil); err != nil {
		return err
	}
	return stream.Receive(c, 0, echoBytes)
}

// eachOf calls do for 0 to n-1, on a few goroutines, and returns the first
// error.
func eachOf(n int, do func(i int) error) error {
	next := make(chan int)
	failed := make(chan error, n)
	var workers sync.WaitGroup
	for range scaleWorkers {
		workers.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					failed <- fmt.Errorf("number %d: %w", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	close(failed)
	return <-failed // nil when there was none
}
