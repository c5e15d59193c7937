package load

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
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

func mustRun(t testing.TB, s *echo.Server, c Config) *Result {
	t.Helper()
	c.Address = s.Addr().String()
	c.Warmup, c.Window = 10*time.Millisecond, 150*time.Millisecond
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

// serveOnce upgrades one connection and hands it to serve.
func serveOnce(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		if _, err := ws.Upgrade(c); err != nil {
			t.Error(err)
			return
		}
		serve(c)
		_, _ = io.Copy(io.Discard, c)
	}()
	return ln.Addr().String()
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
				Scenario: Echo, Address: serveOnce(t, serve), Tunnels: 1, MessageBytes: 64,
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
	address := serveOnce(t, func(c net.Conn) {
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
