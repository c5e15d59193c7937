package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"wsplice/e2e/internal/rig"
)

// pieceBytes is the size of a small message.
const pieceBytes = 100

// tunnel makes a plan and plays its client to the end.
func (c *chaos) tunnel(id uint64) {
	r := rand.New(rand.NewPCG(c.seed, id))
	plan := newChaosPlan(id, c.framed, r)
	c.plans.Store(id, plan)
	c.client(plan, r)
}

// client plays the client of a plan. Everything that a kill explains is
// ignored; wrong bytes never are, and nothing at all in a plan that completes.
func (c *chaos) client(p *chaosPlan, r *rand.Rand) {
	conn, err := rig.DialErr(c.address)
	if err != nil {
		c.fail(p.id, "connect: %v", err)
		return
	}
	defer func() { leave(conn.Conn, p.clientResets && !p.completes) }()
	prefix := map[clientWay]string{clientGoesPending: "/pending/", clientGoesDown: "/down/"}[p.client]
	if prefix == "" {
		prefix = "/ws/"
	}
	head := rig.UpgradeRequest(prefix+strconv.FormatUint(p.id, 10), "X-Tunnel: "+fmt.Sprint(p.id))
	switch p.client {
	case clientOnlyConnects:
		rig.Lapse(p.clientLives)
	case clientStopsInHead:
		conn.Offer(head[:min(p.headBytes, len(head)-1)], r.IntN(50))
		rig.Lapse(p.clientLives)
	case clientGoesPending, clientGoesDown, clientGoesWaiting:
		conn.Offer(head+p.earlyBytes(), 0)
		rig.Lapse(p.clientLives)
	case clientTunnels:
		conn.Offer(head+p.earlyBytes(), 0)
		c.checkEnd(p, "client", c.afterAnswer(p, conn))
	}
}

// leave ends a connection in one of the two ways.
func leave(conn net.Conn, reset bool) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok && reset {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *chaosPlan) earlyBytes() string {
	b := make([]byte, p.early)
	p.upStream().Fill(b, 0)
	return string(b)
}

// afterAnswer checks whose answer came, and relays if it opens the tunnel.
func (c *chaos) afterAnswer(p *chaosPlan, conn *rig.Client) error {
	a, err := conn.AnswerErr()
	if err != nil {
		return err
	}
	if got := a.Header.Get("X-Tunnel"); got != "" && got != fmt.Sprint(p.id) {
		return fmt.Errorf("%w: the answer is that of tunnel %s", rig.ErrForeign, got)
	}
	if a.Status != 101 {
		return errGone
	}
	return c.relay(conn, p, relayed{
		out: p.upStream(), outFrom: p.early, outTo: p.up, in: p.downStream(), inTo: p.down,
		lives: p.clientLives, resets: p.clientResets, halfCloses: p.clientHalfCloses,
	})
}

// serve plays the backend of the plan that the request belongs to.
func (c *chaos) serve(conn *rig.BackendConn) {
	if conn.ReadHead() != nil {
		return
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(conn.Head.Path(), "/"), 10, 64)
	if err != nil {
		c.fail(0, "the backend is asked for %q", conn.Head.Target)
		return
	}
	found, ok := c.plans.Load(id)
	if names := conn.Head.Values("X-Tunnel"); !ok || len(names) != 1 || names[0] != fmt.Sprint(id) {
		c.fail(id, "the head at the backend is mixed up: %q", conn.Head.Raw)
		return
	}
	p := found.(*chaosPlan)
	defer func() { leave(conn.Conn, p.backendResets && !p.completes) }()
	name := "X-Tunnel: " + fmt.Sprint(id)
	switch p.backend {
	case backendSilent:
		rig.Lapse(p.backendLives)
	case backendHalfAnswer:
		_ = conn.Answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: web")
		rig.Lapse(p.backendLives)
	case backendRefuses:
		_ = conn.Answer("HTTP/1.1 403 Forbidden\r\n" + name + "\r\nContent-Length: 2\r\n\r\nno")
		c.checkNoMore(p, conn)
	case backendOpens:
		if err := conn.Upgrade(name); err != nil {
			return
		}
		c.checkEnd(p, "backend", c.relay(conn, p, relayed{
			out: p.downStream(), outTo: p.down, in: p.upStream(), inTo: p.up,
			lives: p.backendLives, resets: p.backendResets,
		}))
	}
}

// checkNoMore reads after a refusal: early bytes must not come.
func (c *chaos) checkNoMore(p *chaosPlan, conn *rig.BackendConn) {
	_ = conn.SetReadDeadline(time.Now().Add(p.backendLives + time.Millisecond))
	var b [64]byte
	if n, _ := conn.Read(b[:]); n > 0 {
		c.fail(p.id, "after its refusal the backend received %q", b[:n])
	}
}

// checkEnd judges how one side of a tunnel ended.
func (c *chaos) checkEnd(p *chaosPlan, who string, err error) {
	switch {
	case errors.Is(err, rig.ErrForeign):
		c.fail(p.id, "%s: %v", who, err)
	case p.completes && err != nil:
		c.fail(p.id, "%s of an undisturbed tunnel (up %d, down %d): %v", who, p.up, p.down, err)
	case p.completes && who == "client":
		c.complete.Add(1)
	}
}

// relayed is what one side of a tunnel sends and expects.
type relayed struct {
	out            stream
	outFrom, outTo int64
	in             stream
	inTo           int64
	lives          time.Duration
	resets         bool
	halfCloses     bool
}

// relay sends one stream and checks the other until both are through or the
// side's life is over.
func (c *chaos) relay(conn net.Conn, p *chaosPlan, s relayed) error {
	if !p.completes {
		kill := time.AfterFunc(s.lives, func() { leave(rawConn(conn), s.resets) })
		defer kill.Stop()
	}
	var sent error
	var sender sync.WaitGroup
	sender.Go(func() {
		sent = sendStream(conn, p, s)
		if sent == nil && (p.completes || s.halfCloses) {
			_ = rawConn(conn).(interface{ CloseWrite() error }).CloseWrite()
		}
	})
	rig.Lapse(p.readLate)
	got, err := s.in.ReceiveUpTo(conn, 0, s.inTo)
	c.checked.Add(got)
	if err == nil && p.completes && got < s.inTo {
		err = fmt.Errorf("the stream ends after %d of %d bytes", got, s.inTo)
	}
	if err == nil && p.completes {
		err = wantStreamEnd(conn)
	}
	if err != nil && !p.completes {
		_ = conn.SetWriteDeadline(time.Now()) // the sender may be stuck
	}
	sender.Wait()
	return errors.Join(err, sent)
}

// rawConn is the connection below the rig's buffers, which may be closed
// while another goroutine reads.
func rawConn(conn net.Conn) net.Conn {
	switch c := conn.(type) {
	case *rig.Client:
		return c.Conn
	case *rig.BackendConn:
		return c.Conn
	}
	return conn
}

func sendStream(conn net.Conn, p *chaosPlan, s relayed) error {
	offset := s.outFrom
	for p.pieces && offset < min(s.outTo, 20*pieceBytes) {
		n := min(pieceBytes, s.outTo-offset)
		if err := s.out.Send(rawConn(conn), offset, n, nil); err != nil {
			return err
		}
		offset += n
	}
	return s.out.Send(rawConn(conn), offset, s.outTo-offset, nil)
}

// wantStreamEnd expects the end of a stream and nothing else.
func wantStreamEnd(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(rig.Soon))
	var b [64]byte
	n, err := conn.Read(b[:])
	switch {
	case n > 0:
		return fmt.Errorf("%w: %x after the end of the stream", rig.ErrForeign, b[:n])
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("instead of its end: %w", err)
	}
	return nil
}
