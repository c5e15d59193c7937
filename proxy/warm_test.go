package proxy

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
	"wsplice/pool"
)

// An asked is a connection of the backend on which a request has come.
type asked struct {
	net.Conn
	raw     *net.TCPConn // below Conn
	request *http.Request
}

// A warmRig is a rig whose route keeps connections to its backend. Those
// without a request are only kept open.
type warmRig struct {
	*rig
	asked chan asked
	tls   *tls.Config // of the backend, if it speaks TLS
}

// newWarmRig keeps size connections; change may alter the configuration before.
func newWarmRig(t *testing.T, size int, change func(c *Config)) *warmRig {
	t.Helper()
	r := &warmRig{asked: make(chan asked, 64)}
	r.start(t, size, change)
	return r
}

// newSecureWarmRig is newWarmRig with a backend that speaks this version of TLS.
func newSecureWarmRig(t *testing.T, version uint16, size int, change func(c *Config)) *warmRig {
	t.Helper()
	server, client := newBackendTLS(t)
	server.MaxVersion = version
	r := &warmRig{asked: make(chan asked, 64), tls: server}
	r.start(t, size, func(c *Config) {
		secureTo(t, c, client)
		if change != nil {
			change(c)
		}
	})
	return r
}

func (r *warmRig) start(t *testing.T, size int, change func(c *Config)) {
	t.Helper()
	r.rig = newRig(t, func(c *Config) {
		c.Routes[0].Upstream.Servers()[0].KeepWarm(size)
		if change != nil {
			change(c)
		}
	})
	go r.serve()
	r.ready(size)
}

// overWarm runs test with a plain backend, and with ones that speak TLS.
func overWarm(t *testing.T, test func(t *testing.T, start func(size int, change func(c *Config)) *warmRig)) {
	t.Run("plain", func(t *testing.T) {
		test(t, func(size int, change func(c *Config)) *warmRig { return newWarmRig(t, size, change) })
	})
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			test(t, func(size int, change func(c *Config)) *warmRig { return newSecureWarmRig(t, version, size, change) })
		})
	}
}

// serve ends with the listener.
func (r *warmRig) serve() {
	for {
		raw, err := r.backend.AcceptTCP()
		if err != nil {
			return
		}
		r.t.Cleanup(func() { raw.Close() })
		_ = raw.SetDeadline(time.Now().Add(2 * patience))
		conn := net.Conn(raw)
		if r.tls != nil {
			conn = tls.Server(raw, r.tls)
		}
		go func() {
			if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				r.asked <- asked{conn, raw, request}
			} else {
				conn.Close()
			}
		}()
	}
}

// ready waits until so many connections wait to be taken.
func (r *warmRig) ready(n int) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, "warm connections are ready", func() bool { return r.server.Stats().WarmIdle == n })
}

// next returns the next connection with a request.
func (r *warmRig) next() asked {
	r.t.Helper()
	select {
	case a := <-r.asked:
		return a
	case <-time.After(patience):
		r.t.Fatal("no request came to the backend")
		return asked{}
	}
}

// want compares the counters.
func (r *warmRig) want(taken, dead uint64) {
	r.t.Helper()
	if s := r.server.Stats(); s.WarmTaken != taken || s.WarmDead != dead || s.DialFailures != 0 {
		r.t.Errorf("%d taken, %d dead, %d dials failed; want %d, %d, 0", s.WarmTaken, s.WarmDead, s.DialFailures, taken, dead)
	}
}

// opens plays the backend's part of a tunnel that the client has asked for, and
// holds that it relays.
func (r *warmRig) opens(client *net.TCPConn) {
	r.t.Helper()
	backend := r.next()
	write(r.t, backend, upgradeAnswer)
	expect(r.t, client, upgradeAnswer)
	write(r.t, client, "up")
	expect(r.t, backend, "up")
	write(r.t, backend, "down")
	expect(r.t, client, "down")
}

func TestWarmConnectionIsTaken(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		r := start(2, nil)
		for i := range uint64(5) {
			r.ready(2)
			client := r.dial()
			write(t, client, upgradeRequest)
			r.opens(client)
			r.want(i+1, 0)
		}
	})
}

// Whatever ends a warm connection before it has answered costs one dial, and
// nothing of it reaches the client.
func TestWarmConnectionIsDead(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		for name, end := range map[string]func(t *testing.T, a asked){
			"FIN": func(_ *testing.T, a asked) { a.Close() },
			"RST": func(t *testing.T, a asked) { reset(t, a.raw) },
			"408, which crossed the request": func(t *testing.T, a asked) {
				write(t, a, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				a.Close()
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := start(3, nil)
				client := r.dial()
				write(t, client, upgradeRequest)
				end(t, r.next())
				r.took(stateUpgrading, stateDialing)
				r.opens(client) // on a connection of its own, although more are warm
				r.want(1, 1)
			})
		}
	})
}

// A new connection that ends without an answer is the backend's fault.
func TestOnlyOneRedial(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		r := start(3, nil)
		client := r.dial()
		write(t, client, upgradeRequest)
		r.next().Close()
		r.next().Close()
		expectAnswer(t, client, "502")
		r.want(1, 1)
	})
}

// What has begun to answer is not asked again.
func TestNoRedialAfterTheAnswerBegan(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		for name, beginning := range map[string]string{
			"a part of the head": "HTTP/1.1 1",
			"an interim answer":  "HTTP/1.1 103 Early Hints\r\n\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				r := start(1, nil)
				client := r.dial()
				write(t, client, upgradeRequest)
				backend := r.next()
				write(t, backend, beginning)
				backend.Close()
				if text := expectEnd(t, client); !strings.Contains(text, "HTTP/1.1 502 ") {
					t.Errorf("the client got %q", text)
				}
				r.want(1, 0)
			})
		}
	})
}

// Only a GET may be sent twice.
func TestOnlyGETsTakeWarmConnections(t *testing.T) {
	r := newWarmRig(t, 1, func(c *Config) { c.Routes[0].Upgrade = Upgrade{Any: true} })
	client := r.dial()
	write(t, client, "POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: other\r\nContent-Length: 0\r\n\r\n")
	backend := r.next()
	const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
	write(t, backend, answer)
	expect(t, client, answer)
	r.want(0, 0)
}

// The server that the warm connection led to is gone: the next one is tried.
func TestWarmServerIsGone(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := newWarmRig(t, 1, func(c *Config) {
		servers := append(c.Routes[0].Upstream.Servers(), oneServer(t, "tcp", other.Addr().String()).Servers()...)
		if c.Routes[0].Upstream, err = pool.NewUpstream("two", pool.RoundRobin, servers); err != nil {
			t.Fatal(err)
		}
	})
	client := r.dial()
	write(t, client, upgradeRequest)
	backend := r.next()
	r.backend.Close()
	backend.Close()
	conn, err := other.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		t.Fatal(err)
	}
	write(t, conn, upgradeAnswer)
	expect(t, client, upgradeAnswer)
}

// A client that leaves while a dead connection is replaced takes everything
// with it.
func TestClientLeavesAfterWarmConnectionDied(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		r := start(1, nil)
		for range 20 {
			r.ready(1)
			client := r.dial()
			write(t, client, upgradeRequest)
			backend := r.next()
			reset(t, backend.raw)
			reset(t, client)
			testutil.Eventually(t, patience, "the tunnel is gone", func() bool { return r.server.Stats().Open == 0 })
			for len(r.asked) > 0 {
				(<-r.asked).Close()
			}
		}
	})
}

// The proof that is due after timeouts.dial is an acknowledgement: a backend may
// think for longer.
func TestSlowBackendOnWarmConnection(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		const dial, upgrade = 50 * time.Millisecond, 400 * time.Millisecond
		r := start(1, func(c *Config) { c.Timeouts.Dial, c.Timeouts.Upgrade = dial, upgrade })
		begin := time.Now()
		client := r.dial()
		write(t, client, upgradeRequest)
		r.next()
		expectAnswer(t, client, "504")
		if took := time.Since(begin); took < upgrade {
			t.Errorf("given up after %v, want %v", took, upgrade)
		}
		r.want(1, 0)

		r.ready(1)
		client = r.dial()
		write(t, client, upgradeRequest)
		backend := r.next()
		timer := time.NewTimer(2 * dial)
		defer timer.Stop()
		<-timer.C
		write(t, backend, upgradeAnswer)
		expect(t, client, upgradeAnswer)
	})
}

// When there are no descriptors for a tunnel, warm connections give theirs.
func TestWarmGivesWay(t *testing.T) {
	overWarm(t, func(t *testing.T, start func(size int, change func(c *Config)) *warmRig) {
		r := start(8, nil)
		left := r.server.budget.Left()
		if !r.server.budget.Take(left) {
			t.Fatal("the budget changed")
		}
		client := r.dial()
		write(t, client, upgradeRequest)
		r.opens(client)
		if n := r.server.Stats().WarmIdle; n != 0 {
			t.Errorf("%d are still warm", n)
		}
		r.server.budget.Give(left)
	})
}

// A tunnel that finds nothing warm costs what it did without.
func TestLookingForWarmDoesNotAllocate(t *testing.T) {
	r := newWarmRig(t, 1, nil)
	warm := r.server.config.Routes[0].Upstream.Servers()[0].Warm()
	r.close(patience) // now none is ready
	if allocs := testing.AllocsPerRun(100, func() {
		if _, ok := warm.Take(false); ok {
			t.Fatal("a connection is ready after the end")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
