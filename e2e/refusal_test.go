package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// refuse sends a handshake and has the backend answer it with text.
func refuse(p *rig.Proxy, t *testing.T, b *rig.Backend, text string) (*rig.Client, *rig.BackendConn) {
	t.Helper()
	client := rig.Dial(t, p.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	server := b.In(t).Next()
	server.WantHead()
	server.Put(text)
	return client, server
}

// TestRefusalIsRelayed has a backend decline in every way in which HTTP says
// how long a body is; afterwards the connection serves the next request.
func TestRefusalIsRelayed(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	const fields = "WWW-Authenticate: Basic realm=\"a, b\"\r\nset-COOKIE:  a=1\r\n"
	large := pattern(50, 200_000)
	for name, c := range map[string]struct {
		answer string
		status int
		body   string
	}{
		"with a length": {
			"HTTP/1.1 401 No\r\n" + fields + "Content-Length: 2\r\n\r\nno", 401, "no",
		},
		"without a body": {"HTTP/1.1 403 No\r\n" + fields + "Content-Length: 0\r\n\r\n", 403, ""},
		"204":            {"HTTP/1.1 204 None\r\n" + fields + "\r\n", 204, ""},
		"a redirection":  {"HTTP/1.1 302 Found\r\n" + fields + "Location: /login\r\nContent-Length: 0\r\n\r\n", 302, ""},
		"chunked": {
			"HTTP/1.1 404 No\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3;x=y\r\n no\r\n0\r\n\r\n", 404, "no no",
		},
		"a large body": {
			fmt.Sprintf("HTTP/1.1 500 No\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(large), large), 500, large,
		},
		"after an interim one": {
			"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 401 No\r\n" + fields + "Content-Length: 2\r\n\r\nno", 401, "no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := refuse(proxy.In(t), t, backend, c.answer)
			a := finalAnswer(client)
			if a.Status != c.status || a.Body != c.body {
				t.Fatalf("status %d with %d bytes, want %d with %d", a.Status, len(a.Body), c.status, len(c.body))
			}
			if !strings.Contains(a.Raw, fields) {
				t.Errorf("the fields are not verbatim: %q", a.Raw)
			}
			if a.Closes() {
				client.WantEnd()
				return
			}
			rig.Join(client, backend.In(t), "/ws/x")
		})
	}
}

// finalAnswer skips interim answers, which a proxy may pass on.
func finalAnswer(client *rig.Client) *rig.Answer {
	for {
		if a := client.Answer(); a.Status >= 200 || a.Status == 101 {
			return a
		}
	}
}

func TestInterimAnswerBeforeThe101(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client, server := refuse(proxy, t, backend,
		"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+rig.SwitchingProtocols(rig.Key))
	if a := finalAnswer(client); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
	client.Put("up")
	server.Want("up")
}

func TestRefusalUntilTheEndOfTheConnection(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client, server := refuse(proxy, t, backend, "HTTP/1.1 403 No\r\n\r\nsome of it,")
	server.Put(" and the rest")
	_ = server.Close()
	if a := client.Answer(); a.Status != 403 || a.Body != "some of it, and the rest" || !a.Closes() {
		t.Errorf("answer %q %q, want a closing 403 with all of the body", a.Raw, a.Body)
	}
}

// TestRefusalStripsHopByHopFields removes what concerns our connection to the
// backend only.
func TestRefusalStripsHopByHopFields(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client, _ := refuse(proxy, t, backend, "HTTP/1.1 401 No\r\nConnection: X-Secret, keep-alive\r\n"+
		"X-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Public: 1\r\nContent-Length: 0\r\n\r\n")
	a := client.Answer()
	for _, name := range []string{"X-Secret", "Keep-Alive", "Proxy-Connection"} {
		if a.Header.Get(name) != "" {
			t.Errorf("%s reaches the client", name)
		}
	}
	if a.Header.Get("X-Public") != "1" {
		t.Errorf("X-Public is lost: %q", a.Raw)
	}
}

// TestRefusalCannotSmuggleAnswers has a backend send more than its answer
// declares: the rest must not be taken for the answer to the next request.
func TestRefusalCannotSmuggleAnswers(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
	for name, answer := range map[string]string{
		"after a length": "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno" + smuggled,
		"after chunks":   "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" + smuggled,
		"after 204":      "HTTP/1.1 204 None\r\n\r\n" + smuggled,
		"two lengths":    "HTTP/1.1 401 No\r\nContent-Length: 2\r\nContent-Length: 47\r\n\r\nno" + smuggled,
		"length and chunks": "HTTP/1.1 401 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"2\r\nno\r\n0\r\n\r\n" + smuggled,
		"a malformed length": "HTTP/1.1 401 No\r\nContent-Length: +2\r\n\r\nno" + smuggled,
		"a malformed chunk":  "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno\r\n0\r\n\r\n" + smuggled,
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := refuse(proxy.In(t), t, backend, answer)
			client.Offer(probe, 0)
			_ = client.SetReadDeadline(time.Now().Add(rig.Soon))
			_ = client.Conn.(interface{ CloseWrite() error }).CloseWrite() // fails where the proxy was faster
			got, _ := io.ReadAll(client)
			if strings.Contains(string(got), "smuggled") {
				t.Errorf("the client reads %q", got)
			}
		})
	}
}

// TestTruncatedRefusal must not look complete to the client.
func TestTruncatedRefusal(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	for name, answer := range map[string]string{
		"by length": "HTTP/1.1 401 No\r\nContent-Length: 10\r\n\r\nhalf",
		"by chunks": "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := refuse(proxy.In(t), t, backend, answer)
			_ = server.Close()
			if a, err := client.AnswerErr(); err == nil {
				t.Errorf("the client takes %q %q for complete", a.Raw, a.Body)
			}
			client.WantGone()
		})
	}
}

// TestEndlessRefusal sends a body without end to a client that does not read:
// no memory for it, and the client's end is the backend's end.
func TestEndlessRefusal(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	start := proxy.SettledUsage()
	memory := proxy.RSS()
	client, server := refuse(proxy, t, backend, "HTTP/1.1 403 No\r\n\r\n")
	var moved atomic.Int64
	sent := make(chan error, 1)
	go func() { sent <- rig.Pattern(51).Send(server, 0, pressureBytes, &moved) }()
	waitStalled(t, &moved)
	if growth := proxy.RSS() - memory; growth > rssGrowthMax {
		t.Errorf("the proxy grew by %d bytes, want at most %d", growth, rssGrowthMax)
	}
	client.Reset()
	if err := rig.Receive(t, sent, "the backend is cut off"); err == nil {
		t.Error("the whole body was taken although nobody read it")
	}
	_ = server.Close()
	proxy.WaitUsage(rigSettle, start)
}

// TestKeptAliveConnectionWhenIdle ends with the time for a head, and does not
// hold up the end of the process.
func TestKeptAliveConnectionWhenIdle(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	const refusal = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
	t.Run("head timeout", func(t *testing.T) {
		proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"head": "400ms"}})
		client, _ := refuse(proxy, t, backend, refusal)
		if client.Answer().Closes() {
			t.Fatal("the proxy closes after a refusal whose end is framed")
		}
		within(t, shortTimeout, shortLate, client.WantGone)
	})
	t.Run("drain", func(t *testing.T) {
		proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "60s", "head": "60s"}})
		client, _ := refuse(proxy, t, backend, refusal)
		if client.Answer().Closes() {
			t.Fatal("the proxy closes after a refusal whose end is framed")
		}
		proxy.Signal(syscall.SIGTERM)
		if code := proxy.WaitExit(rig.Soon); code != 0 {
			t.Errorf("exit status %d", code)
		}
	})
}
