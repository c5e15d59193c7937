package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"wsplice/handshake"
	"wsplice/secure"
)

// A journal takes the log lines of one loop through a bounded queue to a
// goroutine of its own, so that a log that blocks never blocks a loop. Lines
// that do not fit are counted, and the count is logged when there is room.
type journal struct {
	log     *slog.Logger
	tunnels LogTunnels
	lines   chan line
	dropped atomic.Uint64
	done    chan struct{}
}

type lineKind uint8

const (
	lineOpen lineKind = iota
	lineClose
	lineRefused
	lineRelayed
	lineInsecure
)

// A line is what the loop knows; formatting it is the writer's work.
type line struct {
	kind      lineKind
	at        time.Time
	loop      int
	id        uint64
	peer      netip.AddrPort
	via       netip.AddrPort // the balancer, where announced says that it named the peer
	announced bool
	http2     bool
	route     string
	backend   string
	refusal   *handshake.Refusal // our own answer
	err       error              // of a TLS handshake
	status    int                // of the backend's
	target    string
	up, down  flowLine
	duration  time.Duration
	endedBy   side
	cause     cause
	closed    side   // who closed first, in frames
	sent      uint16 // code of our own Close frames
}

func newJournal(log *slog.Logger, tunnels LogTunnels) *journal {
	return &journal{log: log, tunnels: tunnels, lines: make(chan line, journalLinesMax), done: make(chan struct{})}
}

// put never blocks.
func (j *journal) put(l line) {
	select {
	case j.lines <- l:
	default:
		j.dropped.Add(1)
	}
}

// write writes lines until the queue is closed.
func (j *journal) write() {
	defer close(j.done)
	var reported uint64
	for l := range j.lines {
		if dropped := j.dropped.Load(); dropped != reported {
			j.log.Warn("log lines dropped because the log was blocked", "lines", dropped-reported)
			reported = dropped
		}
		l.write(j.log)
	}
}

func (l *line) write(log *slog.Logger) {
	record := slog.NewRecord(l.at, slog.LevelInfo, "tunnel open", 0)
	record.AddAttrs(slog.String("tunnel", strconv.Itoa(l.loop)+"-"+strconv.FormatUint(l.id, 10)),
		slog.String("client", peerText(l.peer)))
	if l.announced {
		record.AddAttrs(slog.String("via", peerText(l.via)))
	}
	if l.http2 {
		record.AddAttrs(slog.String("http", "2"))
	}
	switch l.kind {
	case lineRefused:
		record.Message = "request refused"
		record.AddAttrs(slog.Int("status", l.refusal.Status), slog.String("reason", l.refusal.Reason),
			slog.String("target", l.target))
	case lineRelayed:
		record.Message = "backend refused"
		record.AddAttrs(slog.Int("status", l.status), slog.String("route", l.route),
			slog.String("backend", l.backend), slog.String("target", l.target))
	case lineInsecure:
		record.Message = "TLS handshake failed"
		if l.backend != "" {
			record.AddAttrs(slog.String("backend", l.backend))
		}
		record.AddAttrs(slog.String("because", secure.Explain(l.err)))
	case lineOpen:
		record.AddAttrs(slog.String("route", l.route), slog.String("backend", l.backend), slog.String("target", l.target))
	case lineClose:
		record.Message = "tunnel closed"
		record.AddAttrs(slog.String("route", l.route), slog.String("backend", l.backend),
			slog.Uint64("up_bytes", l.up.bytes), slog.Uint64("down_bytes", l.down.bytes),
			slog.String("duration", l.duration.String()),
			slog.String("ended_by", l.endedBy.String()), slog.String("why", l.cause.String()),
			slog.Bool("spliced", l.up.spliced || l.down.spliced))
		l.writeFrames(&record)
	}
	_ = log.Handler().Handle(context.Background(), record)
}

func peerText(peer netip.AddrPort) string {
	if !peer.IsValid() {
		return "unix"
	}
	return peer.String()
}

// enabled reports whether tunnel lines are written at all.
func (j *journal) enabled() bool {
	return j.tunnels != LogOff && j.log.Enabled(context.Background(), slog.LevelInfo)
}

func (w *worker) logOpen(t *Tunnel) {
	if w.journal.tunnels != LogBoth || !w.journal.enabled() {
		return
	}
	l := w.line(t, lineOpen)
	l.target = t.loggedTarget()
	w.journal.put(l)
}

func (w *worker) logClose(t *Tunnel) {
	if !w.journal.enabled() {
		return
	}
	l := w.line(t, lineClose)
	l.up, l.down = t.up.line(), t.down.line()
	l.duration = w.loop.Now() - t.opened
	l.endedBy, l.cause = t.endedBy, t.cause
	l.closed, l.sent = side(t.closedFirst.Load()), t.sentClose
	w.journal.put(l)
}

func (j *journal) refused(w *worker, t *Tunnel, r *handshake.Refusal) {
	if !j.enabled() {
		return
	}
	l := w.line(t, lineRefused)
	l.refusal, l.target = r, t.loggedTarget()
	j.put(l)
}

// insecure logs that a client's TLS handshake has failed.
func (j *journal) insecure(w *worker, t *Tunnel, err error) {
	if !j.enabled() {
		return
	}
	l := w.line(t, lineInsecure)
	l.err = err
	j.put(l)
}

// relayed logs that a backend answered with status instead of 101.
func (j *journal) relayed(w *worker, t *Tunnel, status int) {
	if !j.enabled() {
		return
	}
	l := w.line(t, lineRelayed)
	l.status, l.target = status, t.loggedTarget()
	j.put(l)
}

func (w *worker) line(t *Tunnel, kind lineKind) line {
	l := line{kind: kind, at: w.loop.Wall(), loop: w.index, id: t.id, peer: t.peer, http2: t.listener.entrance != nil}
	// Asked for and not kept, for the size of a tunnel. At its end the socket may
	// not know any more.
	if t.announced && kind != lineClose {
		if addr, err := t.client.FD.PeerAddr(); err == nil {
			l.announced, l.via = true, addr.AddrPort()
		}
	}
	if t.route != nil {
		l.route = t.route.Name
	}
	if t.server != nil {
		l.backend = t.server.Name()
	}
	return l
}

// loggedTarget is the path that was asked for, without the query, which often
// carries a token. It is empty until a request line was found sound.
func (t *Tunnel) loggedTarget() string {
	if t.x == nil {
		return ""
	}
	return string(t.x.path)
}
