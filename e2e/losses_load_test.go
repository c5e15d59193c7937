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

// A losses is load on an upstream whose servers are disturbed: tunnels that stay
// and tunnels that come and go, each of which knows at which server it is. None
// may end but with its server.
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

// errLate is the answer to a request that its server died with.
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
	client.Offer(upgradeTo("/x"), 0)
	a, err := client.AnswerErr()
	switch {
	case err != nil:
		err = fmt.Errorf("a handshake: %w", err)
	case a.Status == 502 && l.begun.Load() > over:
		l.late.Add(1)
		err = errLate
	case a.Status != 101:
		err = fmt.Errorf("answer %q though a server is up", a.Raw)
	default:
		if at, ok := l.lives.Load(a.Header.Get(mirrorName)); ok {
			l.opened.Add(1)
			at.(*life).met.Add(1)
			return &lossTunnel{client: client, at: at.(*life), id: id}, nil
		}
		err = fmt.Errorf("an unknown server's answer %q", a.Raw)
	}
	_ = client.Close()
	return nil, err
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
	client *rig.Client
	at     *life
	id     int
	sent   int // messages
}

// message returns the next message, which no other tunnel has.
func (t *lossTunnel) message() []byte {
	t.sent++
	text := fmt.Sprintf("%d of %d at %s;", t.sent, t.id, t.at.name)
	return []byte(strings.Repeat(text, 1+t.sent%64))
}

// exchange sends a frame, and wants the same back.
func (t *lossTunnel) exchange(op ws.OpCode, payload []byte) error {
	_ = t.client.SetWriteDeadline(time.Now().Add(rig.Soon))
	if _, err := t.client.Write([]byte(frameOf(t.client, op, string(payload)))); err != nil {
		return err
	}
	f, err := readFrame(t.client)
	if err != nil {
		return err
	}
	if f.Header.OpCode == ws.OpClose && op != ws.OpClose {
		return fmt.Errorf("closed: %q", f.Payload)
	}
	if f.Header.OpCode != op || !bytes.Equal(f.Payload, payload) {
		return fmt.Errorf("%.80q came back with opcode %d, want %.80q", f.Payload, f.Header.OpCode, payload)
	}
	return nil
}

// talk exchanges messages until stopped is closed.
func (t *lossTunnel) talk(stopped <-chan struct{}) error {
	pause := time.NewTicker(steadyPause)
	defer pause.Stop()
	for {
		if err := t.exchange(ws.OpBinary, t.message()); err != nil {
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
		if err := t.exchange(ws.OpText, t.message()); err != nil {
			return err
		}
	}
	return t.exchange(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "bye"))
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
	counts := map[string]int{}
	for _, tunnel := range l.steady {
		counts[tunnel.at.address]++
		if err := tunnel.exchange(ws.OpBinary, tunnel.message()); err != nil {
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

func (l *losses) wantOpen(t *testing.T, addresses []string, want map[string]int) {
	t.Helper()
	got := ""
	if !rig.Poll(rig.Soon, func() bool {
		got = ""
		m := l.proxy.Metrics()
		for _, address := range addresses {
			n := m.Sum("wsplice_upstream_server_open", `upstream="all"`, fmt.Sprintf("server=%q", address))
			if int(n) != want[address] {
				got += fmt.Sprintf("%s has %v open, want %d; ", address, n, want[address])
			}
		}
		return got == ""
	}) {
		t.Errorf("open counts are not exact: %s", got)
	}
}
