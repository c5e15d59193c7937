package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

// TestListeners serves IPv4, IPv6 and unix sockets side by side.
func TestListeners(t *testing.T) {
	backend := rig.EchoBackend(t)
	socket := "unix:" + rig.TempDir(t, 0) + "/front.sock"
	addresses := []string{"127.0.0.1:0", socket}
	if haveIPv6() {
		addresses = append(addresses, "[::1]:0", ":0")
	} else {
		t.Log("this machine has no IPv6, so it is not tested")
	}
	proxy := startToBackend(t, backend, rig.Config{Listeners: addresses})
	for i := range addresses {
		address := proxy.Addr(i)
		t.Run(addresses[i], func(t *testing.T) {
			if addresses[i] == ":0" {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					t.Fatal(err)
				}
				openAt(t, "127.0.0.1:"+port)
				openAt(t, "[::1]:"+port)
				return
			}
			openAt(t, address)
		})
	}
}

func haveIPv6() bool {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = ln.Close()
	}
	return err == nil
}

func openAt(t *testing.T, address string) {
	t.Helper()
	c, err := rig.OpenEcho(address, "/ws/x")
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	_ = c.Close()
}

// TestPortInUse must be an error in every way in which a port can be in use,
// also where the kernel would let two processes share it.
func TestPortInUse(t *testing.T) {
	needsWsplice(t)
	holders := map[string]struct {
		address string
		reuse   bool
	}{
		"plain listener":                   {"127.0.0.1:0", false},
		"listener with SO_REUSEPORT":       {"127.0.0.1:0", true},
		"wildcard listener":                {"0.0.0.0:0", false},
		"wildcard listener with REUSEPORT": {"0.0.0.0:0", true},
	}
	for name, h := range holders {
		t.Run(name, func(t *testing.T) {
			ln := listenAt(t, h.address, h.reuse)
			_, port, err := net.SplitHostPort(ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range []string{"127.0.0.1", ""} {
				address := host + ":" + port
				res := rig.RunFailing(t, rig.Config{
					Listeners: []string{address}, Routes: `- {path: /, to: "ws://127.0.0.1:9"}`,
				})
				wantFailure(t, res, address, "in use")
			}
		})
	}
}

// TestPortOfAnotherWsplice is the case that happens most: it is started twice.
func TestPortOfAnotherWsplice(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	res := rig.RunFailing(t, rig.Config{
		Listeners: []string{proxy.Addr(0)}, Routes: `- {path: /, to: "ws://127.0.0.1:9"}`,
	})
	wantFailure(t, res, proxy.Addr(0), "in use")
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("the first one still serves")
}

func TestAdminPortInUse(t *testing.T) {
	needsWsplice(t)
	ln := listenAt(t, "127.0.0.1:0", false)
	res := rig.RunFailing(t, rig.Config{
		Admin: ln.Addr().String(), Routes: `- {path: /, to: "ws://127.0.0.1:9"}`,
	})
	wantFailure(t, res, ln.Addr().String(), "in use")
}

func wantFailure(t *testing.T, res rig.Result, texts ...string) {
	t.Helper()
	if res.Code != 1 {
		t.Errorf("exit status %d, want 1; stderr:\n%s", res.Code, res.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(res.Stderr, text) {
			t.Errorf("stderr does not say %q:\n%s", text, res.Stderr)
		}
	}
	if strings.Contains(res.Stderr, "goroutine ") {
		t.Errorf("it crashed:\n%s", res.Stderr)
	}
}

func listenAt(t *testing.T, address string, reusePort bool) net.Listener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if !reusePort {
			return nil
		}
		var inner error
		err := raw.Control(func(fd uintptr) {
			inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, inner)
	}}
	ln, err := lc.Listen(context.Background(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// TestUnixListenerMode gives the socket the mode of the file, whatever the
// umask says.
func TestUnixListenerMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
		t.Run(fmt.Sprintf("%o", mode), func(t *testing.T) {
			backend := rig.EchoBackend(t)
			path := rig.TempDir(t, 0) + "/front.sock"
			proxy := startToBackend(t, backend, rig.Config{
				Listeners: []string{"unix:" + path}, ListenerX: fmt.Sprintf("mode: \"0%o\"", mode),
			})
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != mode {
				t.Errorf("mode %o, want %o", got, mode)
			}
			openAt(t, "unix:"+path)
			proxy.Signal(syscall.SIGTERM)
			proxy.WaitExit(rig.Soon)
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is left behind: %v", err)
			}
		})
	}
}

// TestUnixListenerTakesOverStaleSocket begins with a path that a process left
// behind when it was killed.
func TestUnixListenerTakesOverStaleSocket(t *testing.T) {
	backend := rig.EchoBackend(t)
	path := rig.TempDir(t, 0) + "/front.sock"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	proxy := startToBackend(t, backend, rig.Config{Listeners: []string{"unix:" + path}})
	openAt(t, "unix:"+path)
	_ = proxy
}

// TestUnixListenerRefuses must not take a path away from anybody.
func TestUnixListenerRefuses(t *testing.T) {
	needsWsplice(t)
	routes := `- {path: /, to: "ws://127.0.0.1:9"}`
	t.Run("a live socket", func(t *testing.T) {
		path := rig.TempDir(t, 0) + "/front.sock"
		live := rig.NewBackendAt(t, "unix:"+path, nil)
		res := rig.RunFailing(t, rig.Config{Listeners: []string{"unix:" + path}, Routes: routes})
		wantFailure(t, res, path)
		c, err := rig.DialErr("unix:" + path)
		if err != nil {
			t.Fatalf("the live socket is gone: %v", err)
		}
		_ = c.Close()
		live.Next()
	})
	t.Run("an ordinary file", func(t *testing.T) {
		path := rig.TempDir(t, 0) + "/precious"
		if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
		res := rig.RunFailing(t, rig.Config{Listeners: []string{"unix:" + path}, Routes: routes})
		wantFailure(t, res, path)
		if text, err := os.ReadFile(path); err != nil || string(text) != "data" {
			t.Errorf("the file is now %q, %v", text, err)
		}
	})
	t.Run("a directory that does not exist", func(t *testing.T) {
		path := rig.TempDir(t, 0) + "/none/front.sock"
		res := rig.RunFailing(t, rig.Config{Listeners: []string{"unix:" + path}, Routes: routes})
		wantFailure(t, res, path)
	})
}
