package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

const (
	steadyTunnels = 300
	steadyPause   = 30 * time.Millisecond // between the messages of each
	passingOnes   = 8                     // clients that come and go
	passingPause  = 2 * time.Millisecond  // before each of them comes again
)

// A losses is load on servers that are disturbed: tunnels that stay and tunnels
// that come and go, every other one to an endpoint. Each knows at which server it
// is, and none may end but with its server.
type losses struct {
	proxy   *rig.Proxy
	address string
	lives   sync.Map // of names to *life
	stopped chan struct{}
	all     sync.WaitGroup

	mu     sync.Mutex
	steady []*lossTunnel // that are open at the end
	fault  error         // the first; protected by mu
	failed chan struct{} // closed with it

	begun, over atomic.Int64 // disturbances
	opened      atomic.Int64 // tunnels
	cut         atomic.Int64 // tunnels that ended with their server
	late        atomic.Int64 // requests that a server has died with
}

// The upstreams are called as the routes to them. They have the same servers.
const lossTunnels, lossEndpoints = "tunnels", "endpoints"

var lossUpstreams = []string{lossTunnels, lossEndpoints}

// errLate is what comes of a request that its server died with: 502, or an
// endpoint's tunnel that ends at once.
var errLate = errors.New("the server died with the request")

func newLosses(proxy *rig.Proxy) *losses {
	return &losses{
		proxy: proxy, address: proxy.Addr(0), stopped: make(chan struct{}), failed: make(chan struct{}),
	}
}

// goOn runs a part of the test until it ends, and notes its error.
func (l *losses) goOn(part func() error) {
	l.all.Go(func() {
		if err := part(); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.fault == nil {
				l.fault = err
				close(l.failed)
			}
		}
	})
}

// load starts all clients.
func (l *losses) load() {
	for id := range steadyTunnels {
		l.goOn(func() error { return l.stay(id) })
	}
	for id := range passingOnes {
		l.goOn(func() error { return l.comeAndGo(steadyTunnels + id) })
	}
}

// stay has a tunnel as long as there is load: when its server is killed, another.
func (l *losses) stay(id int) error {
	for {
		tunnel, err := l.open(id)
		if errors.Is(err, errLate) {
			continue
		}
		if err != nil {
			return err
		}
		err = tunnel.talk(l.stopped)
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.steady = append(l.steady, tunnel)
			return nil
		}
		if err := l.lost(tunnel, err); err != nil {
			return err
		}
	}
}

// comeAndGo opens a tunnel, uses and closes it, again and again.
func (l *losses) comeAndGo(id int) error {
	pause := time.NewTicker(passingPause)
	defer pause.Stop()
	for {
		select {
		case <-l.stopped:
			return nil
		case <-pause.C:
		}
		tunnel, err := l.open(id)
		if errors.Is(err, errLate) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tunnel.visit(); err != nil {
			if err := l.lost(tunnel, err); err != nil {
				return err
			}
		}
	}
}

// lost returns nil if the tunnel may end: its server was killed.
func (l *losses) lost(tunnel *lossTunnel, err error) error {
	_ = tunnel.client.Close()
	if !tunnel.at.killed.Load() {
		return fmt.Errorf("a tunnel at %s, which lives, is lost: %w", tunnel.at.name, err)
	}
	l.cut.Add(1)
	return nil
}

// open opens a tunnel. While a server is up there is one, unless a disturbance
// has met the server to which the request was sent.
func (l *losses) open(id int) (*lossTunnel, error) {
	over := l.over.Load()
	client, err := rig.DialErr(l.address)
	if err != nil {
		return nil, err
	}
	t := &lossTunnel{client: client, id: id, upstream: lossUpstreams[id%len(lossUpstreams)]}
	name, err := t.shake()
	if err == nil {
		at, ok := l.lives.Load(name)
		if ok {
			t.at = at.(*life)
			t.at.met.Add(1)
			l.opened.Add(1)
			return t, nil
		}
		err = fmt.Errorf("an unknown server %q", name)
	}
	_ = client.Close()
	if errors.Is(err, errLate) && l.begun.Load() > over {
		l.late.Add(1)
		return nil, errLate
	}
	return nil, fmt.Errorf("%w, though a server is up", err)
}

// await waits until a condition holds, if nothing goes wrong meanwhile.
func (l *losses) await(what string, holds func() bool) error {
	failed := false
	ok := rig.Poll(rig.Soon, func() bool {
		select {
		case <-l.failed:
			failed = true
		default:
		}
		return failed || holds()
	})
	if !ok {
		return fmt.Errorf("not within %v: %s", rig.Soon, what)
	}
	if failed {
		return errors.New("something else went wrong")
	}
	return nil
}

// A lossTunnel is one tunnel of a losses.
type lossTunnel struct {
	client   *rig.Client
	upstream string
	at       *life
	id       int
	sent     int // messages
}

// shake makes the handshake, and returns the name of the server. The error is
// errLate where the server may have died with the request.
func (t *lossTunnel) shake() (string, error) {
	t.client.Offer(upgradeTo("/"+t.upstream), 0)
	a, err := t.client.AnswerErr()
	switch {
	case err != nil:
		return "", err
	case a.Status == 502 && t.upstream == lossTunnels:
		return "", fmt.Errorf("%w: answer %q", errLate, a.Raw)
	case a.Status != 101:
		return "", fmt.Errorf("answer %q", a.Raw)
	case t.upstream == lossTunnels:
		return a.Header.Get(mirrorName), nil
	}
	if err := t.send(ws.OpBinary, []byte(lossGreeting)); err != nil {
		return "", fmt.Errorf("%w: %w", errLate, err)
	}
	f, err := readFrame(t.client)
	if err == nil && f.Header.OpCode == ws.OpClose {
		err = fmt.Errorf("closed: %q", f.Payload)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errLate, err)
	}
	return strings.TrimSpace(string(f.Payload)), nil
}

// message returns the next message, which no other tunnel has.
func (t *lossTunnel) message() []byte {
	t.sent++
	text := fmt.Sprintf("%d of %d at %s;", t.sent, t.id, t.at.name)
	return []byte(strings.Repeat(text, 1+t.sent%64))
}

func (t *lossTunnel) send(op ws.OpCode, payload []byte) error {
	_ = t.client.SetWriteDeadline(time.Now().Add(rig.Soon))
	_, err := t.client.Write([]byte(frameOf(t.client, op, string(payload))))
	return err
}

// exchange sends a message, and wants the same back, in whatever messages.
func (t *lossTunnel) exchange(payload []byte) error {
	if err := t.send(ws.OpBinary, payload); err != nil {
		return err
	}
	for rest := payload; len(rest) > 0; {
		f, err := readFrame(t.client)
		switch {
		case err != nil:
			return err
		case f.Header.OpCode != ws.OpBinary || !bytes.HasPrefix(rest, f.Payload):
			return fmt.Errorf("%.80q came back with opcode %d, want %.80q", f.Payload, f.Header.OpCode, rest)
		}
		rest = rest[len(f.Payload):]
	}
	return nil
}

// close closes the tunnel in good order.
func (t *lossTunnel) close() error {
	body := ws.NewCloseFrameBody(ws.StatusNormalClosure, "")
	if err := t.send(ws.OpClose, body); err != nil {
		return err
	}
	f, err := readFrame(t.client)
	if err == nil && (f.Header.OpCode != ws.OpClose || !bytes.Equal(f.Payload, body)) {
		err = fmt.Errorf("%.80q came back with opcode %d, want Close", f.Payload, f.Header.OpCode)
	}
	return err
}

// talk exchanges messages until stopped is closed.
func (t *lossTunnel) talk(stopped <-chan struct{}) error {
	pause := time.NewTicker(steadyPause)
	defer pause.Stop()
	for {
		if err := t.exchange(t.message()); err != nil {
			return err
		}
		select {
		case <-stopped:
			return nil
		case <-pause.C:
		}
	}
}

// visit exchanges some messages and closes the tunnel in good order.
func (t *lossTunnel) visit() error {
	defer func() { _ = t.client.Close() }()
	for range 3 {
		if err := t.exchange(t.message()); err != nil {
			return err
		}
	}
	return t.close()
}

// settle ends the load, and wants open counts that are exact: first with the
// tunnels that have stayed, which must still work, and then with none.
func (l *losses) settle(t *testing.T, addresses ...string) {
	t.Helper()
	close(l.stopped)
	l.all.Wait()
	if l.fault != nil {
		t.Error(l.fault)
	}
	counts := map[[2]string]int{}
	for _, tunnel := range l.steady {
		counts[[2]string{tunnel.upstream, tunnel.at.address}]++
		if err := tunnel.exchange(tunnel.message()); err != nil {
			t.Errorf("a tunnel at %s after all: %v", tunnel.at.name, err)
		}
	}
	l.wantOpen(t, addresses, counts)
	for _, tunnel := range l.steady {
		_ = tunnel.client.Close()
	}
	l.wantOpen(t, addresses, nil)
	l.proxy.WaitTunnels(0)
}

// wantOpen ends the test unless that many tunnels are counted soon, by upstream
// and address.
func (l *losses) wantOpen(t *testing.T, addresses []string, want map[[2]string]int) {
	t.Helper()
	wrong := ""
	if !rig.Poll(rig.Soon, func() bool {
		wrong = ""
		m := l.proxy.Metrics()
		for _, upstream := range lossUpstreams {
			for _, address := range addresses {
				n := int(m.Sum("wsplice_upstream_server_open", fmt.Sprintf("upstream=%q", upstream), fmt.Sprintf("server=%q", address)))
				if wanted := want[[2]string{upstream, address}]; n != wanted {
					wrong += fmt.Sprintf("%s of %s has %d open, want %d; ", address, upstream, n, wanted)
				}
			}
		}
		return wrong == ""
	}) {
		t.Errorf("open counts are not exact: %s", wrong)
	}
}
