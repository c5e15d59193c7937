package proxy

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"wsplice/internal/testutil"
)

// announced is the PROXY header of a client that is not the test.
const announced = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"

// header returns the PROXY header of a version that announces source.
func header(t testing.TB, version byte, source string) string {
	t.Helper()
	addr := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 56324))
	b, err := proxyproto.HeaderProxyFromAddrs(version, addr, addr).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// proxied changes a configuration to listeners with PROXY headers.
func proxied(p Greeting) func(*Config) {
	return func(c *Config) { c.Listeners[0].ProxyProtocol = p }
}

// The backend is told of the announced client, whatever the form and however
// the bytes come.
func TestAnnouncedClient(t *testing.T) {
	const own = "127.0.0.1"
	local := strings.Replace(header(t, 2, "192.0.2.1"), "\x21\x11", "\x20\x11", 1)
	tests := []struct {
		name   string
		mode   Greeting
		header string
		want   string
	}{
		{"version 1", GreetingRequired, header(t, 1, "192.0.2.1"), "192.0.2.1"},
		{"version 1 with IPv6", GreetingRequired, header(t, 1, "2001:db8::1"), "2001:db8::1"},
		{"version 2", GreetingRequired, header(t, 2, "192.0.2.1"), "192.0.2.1"},
		{"version 2 with IPv6", GreetingRequired, header(t, 2, "2001:db8::1"), "2001:db8::1"},
		{"optional and there", GreetingOptional, announced, "192.0.2.1"},
		{"optional and not there", GreetingOptional, "", own},
		{"unknown", GreetingRequired, "PROXY UNKNOWN\r\n", own},
		{"local", GreetingRequired, local, own},
		{"unix", GreetingRequired, string(proxyproto.SIGV2) + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, proxied(test.mode))
			for _, piece := range []int{1, 7, len(test.header) + 1, 1 << 20} {
				client := r.dial()
				for rest := test.header + upgradeRequest; rest != ""; {
					n := min(piece, len(rest))
					write(t, client, rest[:n])
					rest = rest[n:]
				}
				backend, request := r.accept()
				if got := request.Header.Get("X-Forwarded-For"); got != test.want {
					t.Errorf("pieces of %d bytes: X-Forwarded-For %q, want %q", piece, got, test.want)
				}
				write(t, backend, upgradeAnswer)
				expect(t, client, upgradeAnswer)
				client.Close()
			}
		})
	}
}

// What comes in the same segment as the header is the request, and what comes
// behind that is the tunnel's.
func TestHeaderRequestAndFrameAtOnce(t *testing.T) {
	r := newRig(t, proxied(GreetingRequired))
	client := r.dial()
	write(t, client, header(t, 2, "192.0.2.1")+upgradeRequest+"early frame")
	backend, _ := r.accept()
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
	expect(t, backend, "early frame")
}

func TestProxyHeaderRefused(t *testing.T) {
	tests := []struct {
		name  string
		mode  Greeting
		bytes string
	}{
		{"required and missing", GreetingRequired, upgradeRequest},
		{"required and malformed", GreetingRequired, "PROXY TCP4 nobody\r\n" + upgradeRequest},
		{"required and too long", GreetingRequired, string(proxyproto.SIGV2) + "\x21\x11\xff\xff"},
		{"optional and malformed", GreetingOptional, "PROXY TCP4 192.0.2.1\n" + upgradeRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, proxied(test.mode))
			client := r.dial()
			write(t, client, test.bytes)
			if text := expectEnd(t, client); !strings.HasPrefix(text, "HTTP/1.1 400 ") || !strings.Contains(text, "PROXY") {
				t.Errorf("answer %q", text)
			}
			if n := r.server.Stats().Refusals["proxy_header"]; n != 1 {
				t.Errorf("%d refusals are counted", n)
			}
		})
	}
}

// Where the listener does not ask for a header, nobody can announce anything.
func TestHeaderWhereNoneIsWanted(t *testing.T) {
	r := newRig(t, nil)
	client := r.dial()
	write(t, client, announced+upgradeRequest)
	expectAnswer(t, client, "400")
}

// One clock runs from accept to the complete head.
func TestHeaderAndThenNothing(t *testing.T) {
	for _, text := range []string{"", announced[:10], announced, announced + "GET / HT"} {
		r := newRig(t, func(c *Config) {
			proxied(GreetingRequired)(c)
			c.Timeouts.Head = 100 * time.Millisecond
		})
		client := r.dial()
		begin := time.Now()
		write(t, client, text)
		expectAnswer(t, client, "408")
		if waited := time.Since(begin); waited > patience/2 {
			t.Errorf("%q: answered after %v", text, waited)
		}
	}
}

// A header is sent once for a connection, and holds for each of its requests.
func TestHeaderOnceForKeptConnection(t *testing.T) {
	r := newRig(t, proxied(GreetingRequired))
	client := r.dial()
	write(t, client, announced)
	for range 3 {
		write(t, client, upgradeRequest)
		backend, request := r.accept()
		if got := request.Header.Get("X-Forwarded-For"); got != "192.0.2.1" {
			t.Errorf("X-Forwarded-For %q", got)
		}
		write(t, backend, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		expect(t, client, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno")
	}
	write(t, client, announced+upgradeRequest)
	expectAnswer(t, client, "400")
}

// A connection with nothing but its header does not hold up a stop.
func TestStopWithHeaderOnly(t *testing.T) {
	r := newRig(t, proxied(GreetingRequired))
	client := r.dial()
	write(t, client, announced)
	r.took(stateGreeting, stateReading)
	silent := r.dial()
	testutil.Eventually(t, patience, "two connections", func() bool { return r.server.Stats().Accepted == 2 })
	begin := time.Now()
	if cut := r.close(patience); cut != 0 || time.Since(begin) > patience/2 {
		t.Errorf("%d cut after %v", cut, time.Since(begin))
	}
	if text := expectEnd(t, client) + expectEnd(t, silent); text != "" {
		t.Errorf("answered with %q", text)
	}
}

// A balancer may come by a unix socket.
func TestHeaderOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	r := newRig(t, func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{
			Network: "unix", Address: path, UID: -1, GID: -1, ProxyProtocol: GreetingRequired,
		})
	})
	write(t, dialUnix(t, path), announced+upgradeRequest)
	if _, request := r.accept(); request.Header.Get("X-Forwarded-For") != "192.0.2.1" {
		t.Errorf("X-Forwarded-For %q", request.Header.Get("X-Forwarded-For"))
	}
}

// The log names the announced client, and who announced it.
func TestAnnouncedClientInLog(t *testing.T) {
	var log lockedBuffer
	r := newRig(t, func(c *Config) {
		proxied(GreetingOptional)(c)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	client := r.dial()
	write(t, client, announced+"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	expectAnswer(t, client, "426")
	direct := r.dial()
	write(t, direct, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	expectAnswer(t, direct, "426")
	r.close(patience)
	for _, want := range []string{
		"client=192.0.2.1:56324 via=" + client.LocalAddr().String() + " status=426",
		"client=" + direct.LocalAddr().String() + " status=426",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

// A lockedBuffer is a log that goroutines write and the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
