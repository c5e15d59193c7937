package testutil

import (
	"net"
	"os"
	"testing"
	"time"
)

// pollEvery is how often a condition is looked at that has no event to wait
// for.
const pollEvery = 2 * time.Millisecond

// Eventually waits until condition holds, and fails the test with what was
// awaited when it does not within limit. Where there is a channel or a
// descriptor to wait on, wait on that instead.
func Eventually(tb testing.TB, limit time.Duration, what string, condition func() bool) {
	tb.Helper()
	if !poll(limit, condition) {
		tb.Fatalf("after %v still not: %s", limit, what)
	}
}

// poll reports whether condition became true within limit.
func poll(limit time.Duration, condition func() bool) bool {
	if condition() {
		return true
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if condition() {
				return true
			}
		case <-deadline.C:
			return condition()
		}
	}
}

// SocketPair returns the two ends of a TCP connection over loopback. Both are
// closed when the test ends; the test may close them before.
func SocketPair(tb testing.TB) (client, server *net.TCPConn) {
	tb.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	defer l.Close()
	// The kernel completes the connection before it is accepted.
	client, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(func() { client.Close() })
	server, err = l.AcceptTCP()
	if err != nil {
		tb.Fatalf("accept: %v", err)
	}
	tb.Cleanup(func() { server.Close() })
	return client, server
}

// Missing skips a test that lacks a privilege or a program, which the text
// names. Where nothing may be lacking, WSPLICE_E2E_REQUIRE=1 makes it fail.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("WSPLICE_E2E_REQUIRE") == "1" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}
