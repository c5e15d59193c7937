package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// mortalArgument makes this binary a server that is there to be killed. Its
// further arguments are where it listens and what it is called.
const mortalArgument = "mortal"

// lossGreeting is what a client of an endpoint says first.
const lossGreeting = "hello\n"

// playMortal serves until it is killed. It says a word when it listens.
func playMortal(address, name string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		die("listen: %v", err)
	}
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		if err != nil {
			die("accept: %v", err)
		}
		go serveLosses(conn, name)
	}
}

// serveLosses says who it is and then echoes: in a WebSocket that it agrees to, or
// without one, behind an endpoint, where the client greets it with a line.
func serveLosses(conn net.Conn, name string) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 4<<10)
	if begin, _ := r.Peek(len(lossGreeting)); string(begin) == lossGreeting {
		_, _ = r.Discard(len(lossGreeting))
		if _, err := fmt.Fprintln(conn, name); err == nil {
			_, _ = io.Copy(conn, r)
		}
		return
	}
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	key := request.Header.Get("Sec-WebSocket-Key")
	if _, err := io.WriteString(conn, rig.SwitchingProtocols(key, mirrorName+": "+name)); err != nil {
		return
	}
	for {
		f, err := ws.ReadFrame(r)
		if err != nil {
			return
		}
		f = ws.UnmaskFrameInPlace(f)
		if _, err := conn.Write(ws.MustCompileFrame(ws.NewFrame(f.Header.OpCode, true, f.Payload))); err != nil {
			return
		}
		if f.Header.OpCode == ws.OpClose {
			return
		}
	}
}

// A life is a server from its start to its end.
type life struct {
	name    string // as it says
	address string
	met     atomic.Int64 // tunnels that it was given
	killed  atomic.Bool  // set before the signal
	process *exec.Cmd    // nil: it lives in the test's process
}

// start returns when the process listens.
func (l *life) start() error {
	l.process = exec.Command(os.Args[0], mortalArgument, l.address, l.name)
	l.process.Stderr = os.Stderr
	out, err := l.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := l.process.Start(); err != nil {
		return err
	}
	if text, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		l.kill()
		return fmt.Errorf("server %s says %q: %w", l.name, text, err)
	}
	return nil
}

// kill ends the process at once, and returns when its sockets are closed.
func (l *life) kill() {
	l.killed.Store(true)
	_ = l.process.Process.Kill()
	_ = l.process.Wait()
}

// A door is a server in the test's process whose listening socket comes and
// goes. Its connections stay.
type door struct {
	*life
	listener net.Listener
	shut     chan struct{} // closed when the listening socket is
}

// open listens.
func (d *door) open() error {
	var err error
	if d.listener, err = net.Listen("tcp", d.address); err != nil {
		return err
	}
	d.address = d.listener.Addr().String()
	listener, shut := d.listener, make(chan struct{})
	d.shut = shut
	go func() {
		defer close(shut)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveLosses(conn, d.name)
		}
	}()
	return nil
}

// close closes the listening socket, and with it the connections that nobody has
// accepted yet.
func (d *door) close() {
	_ = d.listener.Close()
	<-d.shut
}
