package pool

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

// A logBook is a log that tests read.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func (b *logBook) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), what)
}

// wait waits until the log has so many lines with what.
func (b *logBook) wait(t *testing.T, what string, n int) {
	t.Helper()
	testutil.Eventually(t, patience, what, func() bool { return b.count(what) >= n })
	if got := b.count(what); got != n {
		t.Errorf("%d lines of %q, want %d", got, what, n)
	}
}

func TestLogOfServers(t *testing.T) {
	u := build(t, Config{Members: members(t, 1, 1), DisableTime: time.Second})
	clock := stopClock(u)
	var book logBook
	u.Start(book.logger())
	defer u.Close()
	s := u.Servers()[0]
	for range 3 { // one line, however many requests find out
		s.Failed(sys.ECONNREFUSED)
	}
	book.wait(t, `server is down" upstream=u server=10.0.0.1:9000 left_out_for=1s error="connection refused"`, 1)
	s.Connected()
	book.wait(t, `server is back" upstream=u server=10.0.0.1:9000`, 1)

	// Soon again: the next line waits, and is never written if it is over by then.
	s.Failed(sys.ECONNREFUSED)
	u.Servers()[1].Failed(sys.ECONNREFUSED)
	book.wait(t, "server=10.0.0.2:9000", 1) // so the watch has looked at both
	if book.count("server is down") != 2 {
		t.Error("a server that goes up and down fills the log")
	}
	clock.pass(downLinePause)
	u.wakeWatch()
	book.wait(t, "server is down", 3)
}

// resolving returns an upstream of one server by name, whose addresses are what
// the test says.
func resolving(t *testing.T, look lookUpFunc) (*Upstream, *logBook) {
	t.Helper()
	s, err := NewServer(context.Background(), "tcp", "localhost:9000", "")
	if err != nil {
		t.Fatal(err)
	}
	u := build(t, Config{
		Members:         []Member{{Server: s, Weight: 1}, {Server: servers(t, 1)[0], Weight: 1}},
		ResolveInterval: time.Millisecond,
	})
	u.lookUp = look
	book := new(logBook)
	u.Start(book.logger())
	t.Cleanup(u.Close)
	return u, book
}

func TestNamesAreLookedUpAgain(t *testing.T) {
	answers := make(chan []netip.Addr)
	one, two := netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr("::5")
	u, book := resolving(t, func(ctx context.Context, name string) ([]netip.Addr, error) {
		if name != "localhost" {
			t.Errorf("%q is looked up", name)
		}
		select {
		case found := <-answers:
			return found, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	s := u.Servers()[0]
	send := func(found ...netip.Addr) []sys.Sockaddr {
		answers <- found
		answers <- found // so the first is done with
		return s.Addresses()
	}
	if got := send(one, two); len(got) != 2 || got[0].AddrPort().String() != "127.0.0.5:9000" ||
		got[1].AddrPort().String() != "[::5]:9000" {
		t.Errorf("addresses %v", got)
	}
	if got := send(two, one); got[0].AddrPort().Addr() != one {
		t.Error("another order was taken for news")
	}
	if got := send(two); len(got) != 1 || got[0].AddrPort().Addr() != two {
		t.Errorf("addresses %v", got)
	}
	book.wait(t, "addresses of a server changed", 2)
}

// While a name cannot be resolved the old addresses stay, and one line says so.
func TestNameThatIsLost(t *testing.T) {
	answers := make(chan error)
	u, book := resolving(t, func(ctx context.Context, _ string) ([]netip.Addr, error) {
		select {
		case err := <-answers:
			return []netip.Addr{netip.MustParseAddr("127.0.0.5")}, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	s := u.Servers()[0]
	before := s.Addresses()
	lost := errors.New("no such host")
	for range 3 {
		answers <- lost
	}
	book.wait(t, "not resolved", 1)
	if got := s.Addresses(); &got[0] != &before[0] {
		t.Error("the addresses were changed")
	}
	answers <- nil
	testutil.Eventually(t, patience, "the new address", func() bool {
		return s.Addresses()[0].AddrPort().Addr() == netip.MustParseAddr("127.0.0.5")
	})
	answers <- lost
	answers <- lost
	book.wait(t, "not resolved", 2)
}

// Close does not wait for a resolver that hangs.
func TestCloseEndsALookUp(t *testing.T) {
	began := make(chan struct{}, 1)
	u, book := resolving(t, func(ctx context.Context, _ string) ([]netip.Addr, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	<-began
	u.Close()
	if book.count("not resolved") != 0 {
		t.Error("the end was taken for a failure")
	}
}
