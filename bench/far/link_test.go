package far

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// TestFarIsFarAway connects, which takes a round trip, and is answered in another
// one.
func TestFarIsFarAway(t *testing.T) {
	const delay = 15 * time.Millisecond
	link, err := Open(delay)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		testutil.Missing(t, "needs root and TUN devices (CONFIG_TUN, /dev/net/tun): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := link.Close(); err != nil {
			t.Error(err)
		}
	}()
	ln, err := net.Listen("tcp", link.Near().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	echoed := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = io.CopyN(c, c, 1)
			_ = c.Close()
		}
		echoed <- err
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	began := time.Now()
	c, err := net.DialTimeout("tcp", link.Far().String()+":"+port, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	connected := time.Since(began)
	if _, err := c.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	b := []byte{0}
	if _, err := io.ReadFull(c, b); err != nil || b[0] != 7 {
		t.Errorf("%d came back, %v", b[0], err)
	}
	answered := time.Since(began) - connected
	if connected < 2*delay || answered < 2*delay || connected+answered > 10*time.Second {
		t.Errorf("connected in %v, answered in %v; want %v each", connected, answered, 2*delay)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
	if peer, _, _ := net.SplitHostPort(c.RemoteAddr().String()); peer != link.Far().String() {
		t.Errorf("connected to %s", peer)
	}
}

func TestProcessesHaveTheirOwnAddresses(t *testing.T) {
	seen := map[string]bool{}
	for _, pid := range []int{1, 2, os.Getpid() | 1<<15, 65535, 65536} {
		near, far := addressesOf(pid)
		for _, a := range []string{near.String(), far.String()} {
			if _, benchmarks, _ := net.ParseCIDR("198.18.0.0/15"); seen[a] || !benchmarks.Contains(net.ParseIP(a)) {
				t.Errorf("process %d: %s", pid, a)
			}
			seen[a] = true
		}
	}
}
