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
	scaleTunnels = 4800
	// scaleWorkers is how many connections a helper works on at once.
	scaleWorkers = 32
	// echoBytes is the size of one echoed message.
	echoBytes = 128
	// scaleLimit bounds each step of the helpers.
	scaleLimit = 60 * time.Second
)

// TestManyTunnels holds 9,000 tunnels open in one process, echoes through each
// of them in turn, and closes them: then everything is as it was before.
func TestManyTunnels(t *testing.T) {
	needsWsplice(t)
	count := scaleTunnels
	if testing.Short() {
		count /= 10
	}
	server := rig.StartHelper(t, "echo server")
	address := server.Ask(rig.Soon, "listen")
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
	full := proxy.Usage()
	if want := start.Files + 2*count; full.Files < want || full.Files > want+10 {
		t.Errorf("%d descriptors with %d tunnels, want two each and %d", full.Files, count, start.Files)
	}
	if full.Goroutines > start.Goroutines+20 {
		t.Errorf("%d goroutines with %d tunnels, %d without", full.Goroutines, count, start.Goroutines)
	}
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
