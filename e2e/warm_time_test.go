package e2e

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

const (
	// farDelay is what a packet takes one way to the far backend.
	farDelay = 10 * time.Millisecond
	// farPackets is how many may be under way.
	farPackets = 1024
	// nearIP is an address of the test, and farIP leads back to it the long way.
	nearIP, farIP = "10.9.0.1", "10.9.0.2"
)

// A farLink is the long way. It can forget connections, as a firewall does: then
// their packets vanish, and those of new ones do not.
type farLink struct {
	device *os.File

	mu        sync.Mutex // protects what follows
	seen      map[ports]bool
	forgotten map[ports]bool
}

// ports are those of a connection, the lower one first.
type ports [2]uint16

func portsOf(data []byte) ports {
	tcp := data[int(data[0]&15)*4:]
	a, b := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	return ports{min(a, b), max(a, b)}
}

// forget forgets the connections that there are.
func (l *farLink) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.forgotten, l.seen)
}

// passes takes note of a packet, and reports whether it goes on.
func (l *farLink) passes(data []byte) bool {
	const tcp, headersMin = 6, 40
	if len(data) < headersMin || data[0]>>4 != 4 || data[9] != tcp {
		return false // nothing that the tests speak
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	of := portsOf(data)
	l.seen[of] = true
	return !l.forgotten[of]
}

// farNetwork moves the test into a network of its own (see ownNetwork) with an
// address, farIP, at which it finds itself again after farDelay.
//
// The kernels of test machines often lack netem, so the delay is a TUN device.
// A packet to farIP comes out of it and goes back in with source and destination
// exchanged, which leaves all checksums right.
func farNetwork(t *testing.T) *farLink {
	t.Helper()
	ownNetwork(t)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		missing(t, "needs a kernel with TUN devices (CONFIG_TUN, /dev/net/tun): %v", err)
	}
	request := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte // struct ifreq
	}{flags: unix.IFF_TUN | unix.IFF_NO_PI}
	copy(request.name[:], "far")
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		_ = unix.Close(fd)
		missing(t, "needs a kernel with TUN devices (CONFIG_TUN, /dev/net/tun): %v", errno)
	}
	device := os.NewFile(uintptr(fd), "far") // only now: before, it cannot be polled
	t.Cleanup(func() { _ = device.Close() })
	ip(t, "addr add "+nearIP+"/24 dev far")
	ip(t, "link set far up")
	link := &farLink{device: device, seen: make(map[ports]bool), forgotten: make(map[ports]bool)}
	go link.reflect()
	return link
}

// reflect sends every packet back to the other address, farDelay later.
func (l *farLink) reflect() {
	type packet struct {
		due  time.Time
		data []byte
	}
	under := make(chan packet, farPackets)
	defer close(under)
	go func() {
		for p := range under {
			rig.Lapse(time.Until(p.due))
			_, _ = l.device.Write(p.data) // what is lost is sent again
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := l.device.Read(buf)
		if err != nil {
			return
		}
		data := slices.Clone(buf[:n])
		if !l.passes(data) {
			continue
		}
		source := [4]byte(data[12:16])
		copy(data[12:16], data[16:20])
		copy(data[16:20], source[:])
		under <- packet{time.Now().Add(farDelay), data}
	}
}

// farBackend echoes, and is reached at the address that is returned.
func farBackend(t *testing.T) string {
	t.Helper()
	backend := rig.NewBackendAt(t, nearIP+":0", func(c *rig.BackendConn) {
		if c.ReadHead() == nil && c.Upgrade() == nil {
			c.Echo()
		}
	})
	far := strings.Replace(backend.Addr(), nearIP, farIP, 1)
	rig.SecureBackendAt(far)
	return far
}

// TestWarmPeerVanished loses the warm connections without a word to either end. It
// costs timeouts.dial, as an address would that does not answer, and no error.
func TestWarmPeerVanished(t *testing.T) {
	needsWsplice(t)
	link := farNetwork(t)
	proxy := warmTo(t, 1, rig.Config{
		Listeners: []string{"unix:" + rig.TempDir(t, 0) + "/front"},
		Timeouts:  rig.Settings{"dial": "300ms", "upgrade": "1h"},
	}, urlOf(farBackend(t)))
	wantWarm(t, proxy, 1)
	link.forget()
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("hello")
	if m := proxy.Metrics(); m.Sum("wsplice_warm_taken_total") != 1 || m.Sum("wsplice_warm_dead_total") != 1 {
		t.Errorf("%.0f taken, %.0f dead; want 1, 1", m.Sum("wsplice_warm_taken_total"), m.Sum("wsplice_warm_dead_total"))
	}
}

// TestWarmSavesARoundTrip measures the time from the request to the 101, with a
// backend that is 20 ms away, there and back.
func TestWarmSavesARoundTrip(t *testing.T) {
	needsWsplice(t)
	farNetwork(t)
	saves(t, 1, urlOf(farBackend(t)), "")
}

// TestWarmSavesTwoRoundTripsByTLS is that with TLS, whose handshake takes another
// one with version 1.3, and two with 1.2, unless a session is resumed.
func TestWarmSavesTwoRoundTripsByTLS(t *testing.T) {
	needsWsplice(t)
	farNetwork(t)
	authority := newAuthority(t)
	pair := authority.MustIssue(t, "server", []string{"far.test"}, nil)
	port := newTLSBackendOn(t, nearIP, &tls.Config{Certificates: []tls.Certificate{pair}})
	saves(t, 2, fmt.Sprintf("url: \"wss://%s:%s\"", farIP, port),
		"    tls: {ca: "+authority.CA()+", server_name: far.test}\n")
}

// saves holds that warm connections save so many round trips to a server, with
// further keys of its upstream.
func saves(t *testing.T, trips int, server, more string) {
	t.Helper()
	median := func(warm int) time.Duration {
		proxy := rig.Start(t, rig.Config{
			Listeners: []string{"unix:" + rig.TempDir(t, 0) + "/front"},
			Routes:    `- {path: /ws/, upstream: all, rewrite: /}`,
			Upstreams: fmt.Sprintf("  all:\n    warm: %d\n%s    servers:\n      - {%s}\n", warm, more, server),
		})
		var times []time.Duration
		for range 15 {
			wantWarm(t, proxy, warm)
			client := rig.Dial(t, proxy.Addr(0))
			start := time.Now()
			client.Put(upgradeTo("/ws/x"))
			if a := client.Answer(); a.Status != 101 {
				t.Fatalf("answer %q", a.Raw)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	cold, warm := median(0), median(2)
	t.Logf("request to 101: %v without, %v with warm connections", cold, warm)
	want := time.Duration(trips) * 2 * farDelay
	if cold < want+farDelay {
		t.Fatalf("%v are no %d round trips: the delay does not work", cold, trips+1)
	}
	if saved := cold - warm; saved < want-farDelay {
		t.Errorf("warm connections save %v, want %v", saved, want)
	}
}

// TestWarmEndpointSavesARoundTrip measures the time to the first bytes of a server
// that speaks first and is 20 ms away.
func TestWarmEndpointSavesARoundTrip(t *testing.T) {
	needsWsplice(t)
	farNetwork(t)
	backend := rig.NewBackendAt(t, nearIP+":0", func(c *rig.BackendConn) {
		if c.Answer(greeting) == nil {
			c.Drain()
		}
	})
	rig.PlainBackendAt(backend.Addr())
	far := strings.Replace(backend.Addr(), nearIP, farIP, 1)
	median := func(warm int) time.Duration {
		proxy := warmEndpoint(t, warm, fmt.Sprintf("url: \"tcp://%s\"", far))
		var times []time.Duration
		for range 15 {
			wantWarm(t, proxy, warm)
			if warm > 0 {
				rig.Lapse(2 * farDelay) // the greeting of the latest is on its way
			}
			start := time.Now()
			said := &payloads{t: t, client: openEndpoint(t, proxy, "/ws/x")}
			said.want(greeting)
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	cold, warm := median(0), median(2)
	t.Logf("request to greeting: %v without, %v with warm connections", cold, warm)
	if cold < 2*farDelay {
		t.Fatalf("%v are no round trip: the delay does not work", cold)
	}
	if warm > farDelay {
		t.Errorf("with a warm connection the greeting takes %v, want no trip at all", warm)
	}
}
