package spawn

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// A request asks the supervisor for one thing: the field that is set.
type request struct {
	Start  *startRequest `json:",omitempty"` // with the listening socket, and where output goes
	Stop   uint64        `json:",omitempty"` // ends the process of this number
	Remove []string      `json:",omitempty"` // files to remove when the lifeline ends, then empty directories
}

// A startRequest describes a process.
type startRequest struct {
	Process    uint64 // its number in what follows; each start has another
	Path       string
	Dir        string
	Args       []string // with the name of the program
	Env        [][]byte // a variable need not be UTF-8, as text in JSON must
	KillSignal syscall.Signal
	Systemd    bool // the socket is descriptor 3 too, and announced in LISTEN_FDS
}

// An event tells what became of a process: the field that is set.
type event struct {
	Process uint64
	PID     int    `json:",omitempty"` // it runs
	Failed  string `json:",omitempty"` // it could not be started: why
	Exited  string `json:",omitempty"` // it has ended: its status
}

// errTooLarge says that a message does not fit into a packet.
var errTooLarge = errors.New("command and environment are too large; list the variables that it needs in copy_environment")

// A wire is one end of the lifeline. Messages are JSON, each in a packet of its
// own. Sending is for any goroutine, receiving for one.
type wire struct {
	conn    *net.UnixConn
	data    []byte // of the packet that was received last
	control []byte
}

// newWire takes over one socket of sys.PacketPair.
func newWire(fd sys.FD) (*wire, error) {
	file := os.NewFile(uintptr(fd), "lifeline")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("descriptor %d is no unix socket", fd)
	}
	return &wire{conn: unix, data: make([]byte, messageBytesMax), control: make([]byte, sys.RightsSize(messageFilesMax))}, nil
}

// send passes on a request or an event, and copies of descriptors.
func (w *wire) send(message any, fds ...sys.FD) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(data) > messageBytesMax {
		return fmt.Errorf("%w (%d bytes of at most %d)", errTooLarge, len(data), messageBytesMax)
	}
	var control []byte
	if len(fds) > 0 {
		control = sys.Rights(fds...)
	}
	if err = w.conn.SetWriteDeadline(time.Now().Add(sendMax)); err != nil {
		return err
	}
	_, _, err = w.conn.WriteMsgUnix(data, control, nil)
	return err
}

// receive waits for a message. The files that come with it are the caller's. An
// error is the end: nothing comes any more.
func (w *wire) receive(message any) ([]*os.File, error) {
	n, controls, _, _, err := w.conn.ReadMsgUnix(w.data, w.control)
	if err != nil {
		return nil, err
	}
	fds, err := sys.ParseRights(w.control[:controls])
	files := make([]*os.File, 0, len(fds))
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "inherited"))
	}
	if err == nil {
		err = json.Unmarshal(w.data[:n], message)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
