package spawn

import (
	"os"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// A link is the supervisor as wsplice sees it.
type link struct {
	wire   *wire
	child  *os.Process
	events chan event // closed when the supervisor is gone
}

// startSupervisor starts this binary with args. The link holds room events, so
// that neither end waits for the other while both send.
func startSupervisor(args []string, room int) (*link, error) {
	ours, theirs, err := sys.PacketPair()
	if err != nil {
		return nil, err
	}
	lifeline := os.NewFile(uintptr(theirs), "lifeline")
	defer lifeline.Close()
	w, err := newWire(ours)
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.conn.Close()
		return nil, err
	}
	defer null.Close()
	// What wsplice was started with is not for it, nor for the backends. Kernels
	// before 5.11 cannot do that at once; what Go opens is close-on-exec anyway.
	_ = sys.CloseOnExec(lifelineFD)
	// It waits most of the time and needs nothing of the environment. What it
	// writes to stderr is a crash.
	child, err := os.StartProcess(selfPath, append([]string{os.Args[0]}, args...), &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Sys: sys.NewGroup(),
		Files: []*os.File{null, null, os.Stderr, lifeline},
	})
	if err != nil {
		w.conn.Close()
		return nil, err
	}
	l := &link{wire: w, child: child, events: make(chan event, room)}
	go l.read()
	return l, nil
}

// read passes on the events until the supervisor is gone.
func (l *link) read() {
	defer close(l.events)
	for {
		var e event
		files, err := l.wire.receive(&e)
		if err != nil {
			break
		}
		closeAll(files)
		l.events <- e
	}
	l.wire.conn.Close()
	_, _ = l.child.Wait() // how it ended does not matter
}

// hangUp ends the lifeline, and with it all processes. Their last events still
// come.
func (l *link) hangUp() { _ = l.wire.conn.CloseWrite() }

// drain takes events until the supervisor has gone. One that does not go within
// limit is killed.
func (l *link) drain(limit time.Duration, handle func(event)) {
	late := time.AfterFunc(limit, func() { _ = l.child.Signal(syscall.SIGKILL) })
	defer late.Stop()
	for e := range l.events {
		handle(e)
	}
}
