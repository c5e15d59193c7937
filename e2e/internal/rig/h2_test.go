package rig

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// serverEnv has net/http serve extended CONNECT, which it decides at its start.
const serverEnv = "GODEBUG=http2xconnect=1"

// TestH2AgainstGo tries the client against the server of net/http, in a process of
// its own that is told to serve extended CONNECT.
func TestH2AgainstGo(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1") {
		cmd := exec.Command(os.Args[0], "-test.run=^TestH2AgainstGo$", "-test.count=1")
		cmd.Env = append(os.Environ(), serverEnv)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(serveH2Echo))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	c := DialH2(t, server.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"},
		H2Options{Window: 64 << 10})
	defer c.Close()
	if v, _ := c.Setting(http2.SettingEnableConnectProtocol); v != 1 {
		t.Fatalf("extended CONNECT is not offered: %d", v)
	}
	c.WantPong()
	if s := c.Get("/"); s.Answer().Status != http.StatusTeapot || s.Body() != "no WebSocket" {
		t.Errorf("an ordinary request was answered %q", s.Answer().Raw)
	}
	t.Run("bytes", func(t *testing.T) { h2EchoBytes(t, c.In(t)) })
	t.Run("reset by the client", func(t *testing.T) {
		s := c.In(t).Connect("/echo")
		s.Answer()
		s.WantEcho("hello")
		s.Reset()
		c.In(t).WantPong()
	})
	t.Run("reset by the server", func(t *testing.T) {
		s := c.In(t).Connect("/abort")
		if code := s.WantReset(); code != http2.ErrCodeInternal {
			t.Errorf("reset with %v", code)
		}
	})
	t.Run("what is not read stops the server", func(t *testing.T) {
		s := c.In(t).Connect("/endless")
		s.Answer()
		Eventually(t, Soon, "the window is full", func() bool { return s.Received() == 64<<10 })
		c.In(t).Connect("/echo").WantEcho("others go on")
		if err := Pattern(3).Receive(s, 0, 1<<20); err != nil {
			t.Error(err)
		}
	})
}

// h2EchoBytes has a hundred streams echo at once, more than any window.
func h2EchoBytes(t *testing.T, c *H2) {
	const size = 300 << 10
	var streams sync.WaitGroup
	failed := make(chan error, 100)
	for i := range 100 {
		s := c.Connect(fmt.Sprintf("/echo?%d", i))
		streams.Go(func() {
			sent := make(chan error, 1)
			go func() {
				err := Pattern(i).Send(s, 0, size, nil)
				if err == nil {
					err = s.CloseWriteErr()
				}
				sent <- err
			}()
			if err := Pattern(i).Receive(s, 0, size); err != nil {
				failed <- fmt.Errorf("%v: %w", s, err)
			} else if err = endErr(s); err != nil {
				failed <- err
			}
			if err := <-sent; err != nil {
				failed <- err
			}
		})
	}
	streams.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

func serveH2Echo(w http.ResponseWriter, r *http.Request) {
	flow := http.NewResponseController(w)
	switch {
	case r.Method != http.MethodConnect || r.Header.Get(":protocol") != "websocket":
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("no WebSocket"))
		return
	case r.URL.Path == "/abort":
		panic(http.ErrAbortHandler)
	}
	_ = flow.Flush()
	b := make([]byte, 10_000)
	for offset := int64(0); ; {
		var n int
		var err error
		if r.URL.Path == "/endless" {
			n = len(b)
			Pattern(3).Fill(b, offset)
			offset += int64(n)
		} else {
			n, err = r.Body.Read(b)
		}
		if _, werr := w.Write(b[:n]); werr != nil || err != nil {
			return
		}
		_ = flow.Flush()
	}
}
