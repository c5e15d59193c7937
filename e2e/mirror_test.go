package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A mirror is a backend that agrees to every upgrade and answers every other
// request with 200, and tells the client what it saw of the request. Behind a
// 101 it echoes.
func newMirror(t *testing.T, name string) *rig.Backend {
	t.Helper()
	return rig.NewBackend(t, func(c *rig.BackendConn) { playMirror(name, c) })
}

const (
	mirrorName = "X-Mirror"
	mirrorHead = "X-Mirrored"
)

func playMirror(name string, c *rig.BackendConn) {
	for c.ReadHead() == nil {
		text, err := json.Marshal(c.Head)
		if err != nil {
			return
		}
		lines := []string{mirrorName + ": " + name, mirrorHead + ": " + base64.StdEncoding.EncodeToString(text)}
		if protocol := c.Head.Get("Upgrade"); protocol != "" {
			_ = c.Answer(switchingTo(protocol, c.Head.Get("Sec-WebSocket-Key"), lines...))
			c.Echo()
			return
		}
		length, _ := strconv.ParseInt(c.Head.Get("Content-Length"), 10, 64)
		if _, err := io.CopyN(io.Discard, c, length); err != nil {
			return
		}
		_ = c.Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
	}
}

// switchingTo is a 101 to the first of the protocols that were asked for.
func switchingTo(protocols, key string, lines ...string) string {
	protocol, _, _ := strings.Cut(protocols, ",")
	head := append([]string{
		"HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: " + strings.TrimSpace(protocol),
	}, lines...)
	if key != "" {
		head = append(head, "Sec-WebSocket-Accept: "+rig.Accept(key))
	}
	return strings.Join(head, "\r\n") + "\r\n\r\n"
}

// A mirrored request is what came of one: our answer, or which mirror saw it.
type mirrored struct {
	*rig.Answer
	backend string    // empty: wsplice answered by itself
	head    *rig.Head // as the backend saw it; empty where none did
}

// look sends a request and returns what came of it. The connection stays open
// until the end of the test.
func look(t *testing.T, p *rig.Proxy, request string) mirrored {
	t.Helper()
	_, m := lookThrough(t, p, request)
	return m
}

func lookThrough(t *testing.T, p *rig.Proxy, request string) (*rig.Client, mirrored) {
	t.Helper()
	client := rig.Dial(t, p.Addr(0))
	client.Put(request)
	return client, readMirrored(t, client)
}

func readMirrored(t *testing.T, client *rig.Client) mirrored {
	t.Helper()
	m := mirrored{Answer: client.Answer(), head: &rig.Head{}}
	if m.backend = m.Header.Get(mirrorName); m.backend == "" {
		return m
	}
	text, err := base64.StdEncoding.DecodeString(m.Header.Get(mirrorHead))
	if err == nil {
		err = json.Unmarshal(text, &m.head)
	}
	if err != nil {
		t.Fatalf("the mirror's answer %q: %v", m.Raw, err)
	}
	return m
}

// A mirrorCase is one request, and the answer or the backend and the target
// there that it must come to.
type mirrorCase struct {
	request string
	status  int
	backend string
	target  string
}

// seen is a request that becomes a tunnel to that target of that backend.
func seen(request, backend, target string) mirrorCase {
	return mirrorCase{request, 101, backend, target}
}

// served is a request that the backend answers with 200.
func served(request, backend, target string) mirrorCase {
	return mirrorCase{request, 200, backend, target}
}

// refused is a request that wsplice answers by itself.
func refused(request string, status int) mirrorCase {
	return mirrorCase{request: request, status: status}
}

func (c mirrorCase) check(t *testing.T, p *rig.Proxy) mirrored {
	t.Helper()
	m := look(t, p, c.request)
	line, _, _ := strings.Cut(c.request, "\r\n")
	if m.Status != c.status || m.backend != c.backend {
		t.Fatalf("%s: status %d of backend %q, want %d of %q; answer %q", line, m.Status, m.backend, c.status, c.backend, m.Raw)
	}
	if c.backend != "" && m.head.Target != c.target {
		t.Errorf("%s: the backend sees %q, want %q", line, m.head.Target, c.target)
	}
	return m
}

func checkMirrorCases(t *testing.T, p *rig.Proxy, cases map[string]mirrorCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { c.check(t, p.In(t)) })
	}
}

// ordinary returns cases of handshakes as cases of ordinary GETs.
func ordinary(cases map[string]mirrorCase) map[string]mirrorCase {
	handshake := strings.NewReplacer("Connection: Upgrade\r\n", "", "Upgrade: websocket\r\n", "", versionLine, "", keyLine, "")
	converted := map[string]mirrorCase{}
	for name, c := range cases {
		c.request = handshake.Replace(c.request)
		if c.status == 101 {
			c.status = 200
		}
		converted[name] = c
	}
	return converted
}

// getRequest is an ordinary request for target, with further header lines.
func getRequest(target string, lines ...string) string {
	return strings.Join(append([]string{"GET " + target + " HTTP/1.1", "Host: example.test"}, lines...), "\r\n") + "\r\n\r\n"
}

// withHost puts host in the place of the one that requests have.
func withHost(host, request string) string {
	return strings.Replace(request, "Host: example.test", "Host: "+host, 1)
}

// startRoutes runs a proxy with those routes; %[1]s in them is the address of
// the first backend, and so on. Their warnings are not of interest.
func startRoutes(t *testing.T, routes string, backends ...*rig.Backend) *rig.Proxy {
	t.Helper()
	return startWith(t, rig.Config{Warned: true}, routes, backends...)
}

func startWith(t *testing.T, cfg rig.Config, routes string, backends ...*rig.Backend) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	addresses := make([]any, len(backends))
	for i, b := range backends {
		addresses[i] = b.Addr()
	}
	cfg.Routes = fmt.Sprintf(routes, addresses...)
	return rig.Start(t, cfg)
}
