package spawn

import (
	"bufio"
	"bytes"
	"errors"
	"log/slog"
	"os"
	"time"

	"wsplice/internal/sys"
)

// An output is a pipe through which the processes of a slot, one after the
// other, write their lines into the log. It stays open between them.
type output struct {
	read, write *os.File
	done        chan struct{} // closed when the last line has been logged
}

// newOutput starts to log what is written to fd().
func newOutput(log *slog.Logger) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{read: r, write: w, done: make(chan struct{})}
	if err := o.fd().SetBlocking(); err != nil { // Go made both ends non-blocking
		r.Close()
		w.Close()
		return nil, err
	}
	go o.pass(log)
	return o, nil
}

// fd is where the processes write.
func (o *output) fd() sys.FD { return sys.FD(o.write.Fd()) }

// pass logs each line, in parts where it is longer than lineBytesMax.
func (o *output) pass(log *slog.Logger) {
	defer close(o.done)
	defer o.read.Close()
	lines := bufio.NewReaderSize(o.read, lineBytesMax)
	for {
		line, err := lines.ReadSlice('\n')
		if text := bytes.TrimRight(line, "\r\n"); len(text) > 0 {
			log.Info("backend output", "line", string(text))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// close ends the log of the output when all is read that the processes have
// written. Who has left its process group may still write; that is not waited for.
func (o *output) close() {
	o.write.Close()
	_ = o.read.SetReadDeadline(time.Now().Add(outputMax))
	<-o.done
}
