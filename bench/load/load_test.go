package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/bench/echo"
)

func mustBackend(t testing.TB, o echo.Options) *echo.Server {
	t.Helper()
	s, err := echo.Start("tcp", "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// mustRun measures for 150 ms, or for 3 s where a busy machine gets nothing
// done in that.
func mustRun(t testing.TB, s *echo.Server, c Config) *Result {
	t.Helper()
	c.Address = s.Addr().String()
	c.Warmup, c.Window = 10*time.Millisecond, 150*time.Millisecond
	res := runWithout(t, c)
	if res.Messages == 0 {
		c.Window = 3 * time.Second
		res = runWithout(t, c)
	}
	return res
}

// runWithout runs and wants no error.
func runWithout(t testing.TB, c Config) *Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if res.Errors != 0 {
		t.Fatalf("%d errors: %q", res.Errors, res.ErrorTexts)
	}
	return res
}

func TestEchoCountsMessagesAndTimes(t *testing.T) {
	for _, size := range []int{1, 16, 128, 70_000, 300_000} {
		s := mustBackend(t, echo.Options{})
		res := mustRun(t, s, Config{
			Scenario: Echo, Tunnels: 10, MessageBytes: size,
			Watch: map[string][]int{"backend": {os.Getpid()}},
		})
		if res.Messages == 0 || res.Bytes != res.Messages*int64(size) {
			t.Errorf("%d bytes: %d messages, %d bytes", size, res.Messages, res.Bytes)
		}
		l := res.Latency
		if l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			t.Errorf("%d bytes: latency %+v", size, l)
		}
		if res.CPU["load"].Sched <= 0 || res.CPU["backend"].Sched <= 0 {
			t.Errorf("%d bytes: no CPU time in %v", size, res.CPU)
		}
	}
}

func TestBulkBothWays(t *testing.T) {
	for _, frame := range []int{1000, 16 << 10, 1 << 20} {
		down := mustRun(t, mustBackend(t, echo.Options{Mode: echo.Source, FrameBytes: frame}),
			Config{Scenario: Down, Tunnels: 4, MessageBytes: frame})
		up := mustRun(t, mustBackend(t, echo.Options{Mode: echo.Sink}),
			Config{Scenario: Up, Tunnels: 4, MessageBytes: frame})
		if down.Bytes == 0 || up.Bytes == 0 || up.Bytes != up.Messages*int64(frame) {
			t.Errorf("frames of %d: %d bytes down, %d bytes in %d frames up", frame, down.Bytes, up.Bytes, up.Messages)
		}
	}
}

func TestBothMovesBothWaysAtOnce(t *testing.T) {
	for _, frame := range []int{4 << 10, 1 << 20} {
		s := mustBackend(t, echo.Options{Mode: echo.Duplex, FrameBytes: frame})
		r, err := newRun(Config{
			Scenario: Both, Address: s.Addr().String(), Tunnels: 4, MessageBytes: frame,
			Warmup: 10 * time.Millisecond, Window: 500 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.runTunnels(t.Context())
		if err != nil || res.Errors != 0 {
			t.Fatalf("%+v, %v", res, err)
		}
		up := r.sent.Load()
		if down := res.Bytes - up; up == 0 || down <= 0 || res.Messages < (up+down)/int64(frame)-8 {
			t.Errorf("frames of %d: %d bytes up, %d down in %d messages", frame, up, down, res.Messages)
		}
	}
}

// TestBothAnswersPings has a backend that reads nothing but pongs until it
// has one.
func TestBothAnswersPings(t *testing.T) {
	pong := make(chan struct{}, 1)
	address := serveUpgraded(t, func(c net.Conn) {
		ws.MustWriteFrame(c, ws.NewPingFrame([]byte("p")))
		for {
			f, err := ws.ReadFrame(c)
			if err != nil {
				return
			}
			if f.Header.OpCode == ws.OpPong {
				pong <- struct{}{}
				return
			}
		}
	})
	res, err := Run(t.Context(), Config{
		Scenario: Both, Address: address, Tunnels: 1, MessageBytes: 1000, Window: 200 * time.Millisecond,
	})
	if err != nil || res.Errors != 0 || len(pong) != 1 {
		t.Fatalf("%+v, %v, %d pongs", res, err, len(pong))
	}
}

func TestIdlersAreHeldBeside(t *testing.T) {
	for _, c := range []Config{
		{Scenario: Echo, Tunnels: 5, MessageBytes: 16, Idlers: 100},
		{Scenario: Open, Tunnels: 5, MessageBytes: 16, Idlers: 100, Rate: 1000},
	} {
		s := mustBackend(t, echo.Options{})
		held := 0
		c.OnOpen = func(open int, _ int64) { held = min(open, s.Open()) }
		if res := mustRun(t, s, c); held != 105 || res.Messages == 0 || res.Idlers != 100 {
			t.Errorf("%s: %d held, %+v", c.Scenario, held, res)
		}
	}
}

func TestIdlerThatEndsIsAnError(t *testing.T) {
	var number atomic.Int32
	address := serveUpgraded(t, func(c net.Conn) {
		if number.Add(1) == 3 { // tunnels are opened one after the other
			_ = c.Close()
			return
		}
		for {
			p, err := wsutil.ReadClientBinary(c)
			if err != nil || wsutil.WriteServerBinary(c, p) != nil {
				return
			}
		}
	})
	res, err := Run(t.Context(), Config{
		Scenario: Echo, Address: address, Tunnels: 1, Idlers: 3, MessageBytes: 16, Window: 200 * time.Millisecond,
	})
	if err != nil || res.Errors != 1 {
		t.Fatalf("%+v, %v, want one error", res, err)
	}
}

func TestIdleHoldsUntilTold(t *testing.T) {
	s := mustBackend(t, echo.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	held := 0
	res, err := Run(ctx, Config{
		Scenario: Idle, Address: s.Addr().String(), Tunnels: 200,
		OnOpen: func(open int, errors int64) {
			held = s.Open()
			if open != 200 || errors != 0 {
				t.Errorf("%d open, %d errors", open, errors)
			}
			cancel()
		},
	})
	if err != nil || res.Errors != 0 || held != 200 {
		t.Fatalf("%d held, %+v, %v", held, res, err)
	}
}

// serveEach listens, hands every connection to serve, in a goroutine of its
// own, and closes it when serve is done with it. The test ends when all are.
func serveEach(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	return ln.Addr().String()
}

// serveUpgraded is serveEach behind the handshake; what the client sends
// after serve is discarded.
func serveUpgraded(t testing.TB, serve func(net.Conn)) string {
	return serveEach(t, func(c net.Conn) {
		if _, err := ws.Upgrade(c); err == nil {
			serve(c)
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// TestWrongAnswersAreErrors has servers that do what a proxy must never do.
func TestWrongAnswersAreErrors(t *testing.T) {
	for want, serve := range map[string]func(net.Conn){
		// Before or after the first message went out: either is an error.
		"message": func(c net.Conn) {
			_ = wsutil.WriteServerBinary(c, make([]byte, 64))
		},
		"belongs to another message": func(c net.Conn) {
			_, _ = wsutil.ReadClientBinary(c)
			_ = wsutil.WriteServerBinary(c, make([]byte, 64))
		},
		"echo of 3 bytes": func(c net.Conn) {
			p, _ := wsutil.ReadClientBinary(c)
			_ = wsutil.WriteServerBinary(c, p[:3])
		},
		"differs from what was sent": func(c net.Conn) {
			p, _ := wsutil.ReadClientBinary(c)
			p[60]++
			_ = wsutil.WriteServerBinary(c, p)
		},
		"must be not masked": func(c net.Conn) {
			ws.MustWriteFrame(c, ws.MaskFrame(ws.NewBinaryFrame([]byte("x"))))
		},
		"closed by the peer: 1011": func(c net.Conn) {
			ws.MustWriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusInternalServerError, "")))
		},
		"connection ended": func(c net.Conn) {
			_, _ = wsutil.ReadClientBinary(c)
			_ = c.Close()
		},
	} {
		t.Run(want, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			res, err := Run(ctx, Config{
				Scenario: Echo, Address: serveUpgraded(t, serve), Tunnels: 1, MessageBytes: 64,
				Warmup: 200 * time.Millisecond, Window: time.Millisecond,
			})
			if err != nil || res.Errors == 0 || !strings.Contains(strings.Join(res.ErrorTexts, "\n"), want) {
				t.Fatalf("%+v, %v, want an error with %q", res, err, want)
			}
		})
	}
}

func TestPingsAreAnswered(t *testing.T) {
	got := make(chan ws.Frame, 1)
	address := serveUpgraded(t, func(c net.Conn) {
		ws.MustWriteFrame(c, ws.NewPingFrame([]byte("there?")))
		f, err := ws.ReadFrame(c)
		if err != nil {
			t.Error(err)
		}
		got <- ws.UnmaskFrame(f)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Run(ctx, Config{Scenario: Idle, Address: address, Tunnels: 1})
		ended <- err
	}()
	select {
	case f := <-got:
		if f.Header.OpCode != ws.OpPong || string(f.Payload) != "there?" {
			t.Errorf("got %+v %q, want the pong", f.Header, f.Payload)
		}
	case <-ctx.Done():
		t.Error("no answer to a ping")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	for scenario, mode := range map[Scenario]echo.Mode{
		Echo: echo.Echo, Open: echo.Echo, Down: echo.Source, Up: echo.Sink, Both: echo.Duplex, Churn: echo.Echo, Storm: echo.Echo,
	} {
		c := Config{
			Scenario: scenario, Address: mustBackend(t, echo.Options{Mode: mode, FrameBytes: 5000}).Addr().String(),
			Tunnels: 10, MessageBytes: 5000, Warmup: time.Minute, Window: time.Minute,
		}
		if scenario == Open {
			c.Rate = 1000
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		_, err := Run(ctx, c)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > settleTimeout {
			t.Errorf("%s: %v after %v, want the context's error at once", scenario, err, took)
		}
		cancel()
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	good := Config{Scenario: Open, Address: "127.0.0.1:1", Tunnels: 1, MessageBytes: 1, Rate: 1}
	for name, spoil := range map[string]func(*Config){
		"no scenario":         func(c *Config) { c.Scenario = "gale" },
		"no address":          func(c *Config) { c.Address = "" },
		"no port":             func(c *Config) { c.Address = "127.0.0.1:1,127.0.0.1" },
		"no tunnels":          func(c *Config) { c.Tunnels = 0 },
		"no bytes":            func(c *Config) { c.MessageBytes = 0 },
		"no rate":             func(c *Config) { c.Rate = 0 },
		"rate too high":       func(c *Config) { c.Rate = rateMax + 1 },
		"rate of echo":        func(c *Config) { c.Scenario = Echo },
		"too many idlers":     func(c *Config) { c.Idlers = tunnelsMax + 1 },
		"idlers beside churn": func(c *Config) { c.Scenario, c.Rate, c.Idlers = Churn, 0, 1 },
		"too many sources":    func(c *Config) { c.Sources = sourcesMax + 1 },
		"sources of IPv6":     func(c *Config) { c.Address, c.Sources = "[::1]:1", 1 },
	} {
		c := good
		spoil(&c)
		if _, err := newRun(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newRun(good); err != nil {
		t.Error(err)
	}
}

func TestFailedOpensAreCounted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	_, err = Run(t.Context(), Config{Scenario: Idle, Address: address, Tunnels: 3})
	if err == nil || !strings.Contains(err.Error(), "no tunnel opened") {
		t.Fatalf("got %v, want no tunnel", err)
	}
}
