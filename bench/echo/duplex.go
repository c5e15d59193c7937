package echo

import (
	"sync"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"
)

// A duplexSource sends in a goroutine of its own while the session's handler
// reads, so that neither direction waits for the other. The connection's
// writer is the source's alone: what the handler has to answer it leaves
// behind, and the source sends it between two frames.
type duplexSource struct {
	session *session
	out     netpoll.Writer
	done    chan struct{} // closed when the goroutine is gone

	queue *netpoll.LinkBuffer // the handler's output before leave takes it

	mu      sync.Mutex // protects what follows
	answers []byte     // whole frames
	ending  bool       // the session's last answer is among them
}

// startDuplex starts the source. It is called by the handler, which keeps
// close callbacks from running meanwhile.
func (s *session) startDuplex() {
	d := &duplexSource{session: s, out: s.out, done: make(chan struct{}), queue: netpoll.NewLinkBuffer()}
	s.duplex, s.out = d, detachedWriter{d.queue}
	// The callback added last runs first: the buffers are freed, and closed
	// looks at the session, after the source is gone.
	_ = s.conn.AddCloseCallback(func(netpoll.Connection) error {
		<-d.done
		return nil
	})
	go func() {
		err := d.run()
		close(d.done)
		if err != nil {
			_ = s.conn.Close()
		}
	}()
}

// A detachedWriter is a writer whose output stays in memory.
type detachedWriter struct{ *netpoll.LinkBuffer }

// leave hands what the handler has queued to the source.
func (d *duplexSource) leave(ending bool) {
	n := d.queue.Len()
	if n == 0 && !ending {
		return
	}
	b, err := d.queue.Next(n)
	d.mu.Lock()
	if err == nil {
		d.answers = append(d.answers, b...)
	}
	d.ending = ending
	d.mu.Unlock()
	_ = d.queue.Release()
}

// run sends frames until Options.TotalBytes are sent or the session ends.
func (d *duplexSource) run() error {
	o := d.session.options
	perWrite := max(1, sourceWriteBytes/o.FrameBytes)
	for sent := int64(0); ; {
		d.mu.Lock()
		answers, ending := d.answers, d.ending
		d.answers = nil
		d.mu.Unlock()
		if _, err := d.out.WriteBinary(answers); err != nil {
			return err
		}
		if !ending && o.TotalBytes > 0 && sent >= o.TotalBytes {
			ending = true
			body := ws.NewCloseFrameBody(ws.StatusNormalClosure, "")
			if _, err := copyFrame(d.out, ws.Header{Fin: true, OpCode: ws.OpClose, Length: int64(len(body))}, body); err != nil {
				return err
			}
		}
		if ending {
			err := d.out.Flush()
			if err == nil {
				d.session.startLinger()
			}
			return err
		}
		for i := 0; i < perWrite && (o.TotalBytes == 0 || sent < o.TotalBytes); i++ {
			if err := writeSourceFrame(d.out, o.FrameBytes); err != nil {
				return err
			}
			sent += int64(o.FrameBytes)
		}
		if err := d.out.Flush(); err != nil {
			return err
		}
	}
}
