package h2

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// write calls frames, which write some. Nothing is written for a stream that has
// ended.
func (c *conn) write(s *stream, frames func() error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.over || s != nil && s.dead.Load() {
		return errDead
	}
	err := c.socket.SetWriteDeadline(time.Now().Add(stallTime))
	if err == nil {
		err = frames()
	}
	if err != nil {
		_ = c.socket.Close() // a part of a frame may be out: the reader ends the connection
	}
	return err
}

// later has frames, which write one or two small ones, called soon. It fails for a
// client that makes us say much and takes nothing.
func (c *conn) later(frames func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.control) >= controlMax {
		_ = c.socket.Close() // it would not take a word about it either
		return errCalm
	}
	c.control = append(c.control, frames)
	if !c.controlled {
		c.controlled = true
		c.group.Add(1)
		go c.writeControl()
	}
	return nil
}

// writeControl writes what is to be written.
func (c *conn) writeControl() {
	defer c.group.Done()
	for {
		c.mu.Lock()
		list := c.control
		if c.control = nil; len(list) == 0 {
			c.controlled = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		for _, frames := range list {
			_ = c.write(nil, frames) // serve finds out
		}
	}
}

// writeHead sends the head of an answer, or its trailer, where status is 0.
func (s *stream) writeHead(status int, header http.Header, end bool) error {
	c := s.conn
	return c.write(s, func() error {
		if end {
			s.sentEnd()
		}
		c.block.Reset()
		if status > 0 {
			c.encode(":status", strconv.Itoa(status))
		}
		for name, values := range header {
			for _, value := range values {
				c.encode(strings.ToLower(name), value)
			}
		}
		return c.writeBlock(s.id, end)
	})
}

func (c *conn) encode(name, value string) {
	_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // block takes it all
}

// writeBlock sends what was encoded.
func (c *conn) writeBlock(id uint32, end bool) error {
	block := c.block.Bytes()
	n := min(len(block), frameMax)
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:n], EndStream: end, EndHeaders: n == len(block),
	})
	for block = block[n:]; len(block) > 0 && err == nil; block = block[n:] {
		n = min(len(block), frameMax)
		err = c.framer.WriteContinuation(id, n == len(block), block[:n])
	}
	return err
}

// writeData sends b, and the end of the answer behind it if end says so, as fast as
// the client's windows let it.
func (s *stream) writeData(b []byte, end bool) error {
	c := s.conn
	for {
		n, err := c.reserve(s, min(len(b), dataMax))
		if err != nil {
			return err
		}
		last := n == len(b)
		err = c.write(s, func() error {
			if end && last {
				s.sentEnd()
			}
			return c.framer.WriteData(s.id, end && last, b[:n])
		})
		if err != nil || last {
			return err
		}
		b = b[n:]
	}
}

// reserve waits until some of n bytes may be sent, and returns how many.
func (c *conn) reserve(s *stream, n int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.share()
	if n > 0 && min(c.window, s.window) <= 0 {
		c.await(s)
	}
	if s.dead.Load() {
		return 0, errDead
	}
	if n > 0 {
		n = int(min(int64(n), c.window, s.window))
		c.updates += updatesPerFrame
	}
	c.window -= int64(n)
	s.window -= int64(n)
	return n, nil
}

// await waits until something may be sent for s, or it has ended. It is called with mu
// held.
func (c *conn) await(s *stream) {
	s.waiting = true
	alarm := s.alarm()
	for min(c.window, s.window) <= 0 && !s.dead.Load() {
		if s.window <= 0 {
			c.share()
			s.changed.Wait()
		} else {
			c.changed.Wait()
		}
	}
	s.waiting = false
	alarm.Stop()
}

// alarm ends s when it waits for long, and the proxy has nothing more to do with it
// whose clocks could. It is called with mu held.
func (s *stream) alarm() *time.Timer {
	c := s.conn
	entrance := s.entrance // it is called by who has set it
	var alarm *time.Timer
	alarm = time.AfterFunc(c.lane.stall, func() {
		c.mu.Lock()
		late := s.waiting && entrance.gone()
		if s.waiting && !late {
			alarm.Reset(c.lane.stall)
		}
		c.mu.Unlock()
		if late {
			c.reset(s.id, http2.ErrCodeCancel)
		}
	})
	return alarm
}

// share wakes one that waits for the connection's window, if there is one. Who has
// used of it what it needs wakes the next. It is called with mu held.
func (c *conn) share() {
	if c.window > 0 {
		c.changed.Signal()
	}
}

// credit lets the client send n bytes more, on s too unless that is nil.
func (c *conn) credit(s *stream, n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	ofConn, ofStream := int64(0), int64(0)
	if c.owed += int64(n); c.owed >= connectionWindow/2 {
		ofConn, c.owed = c.owed, 0
		c.received += ofConn
	}
	if s != nil && !s.dead.Load() {
		if s.owed += int64(n); s.owed >= streamWindow/2 {
			ofStream, s.owed = s.owed, 0
			s.received += ofStream
		}
	}
	c.mu.Unlock()
	if ofConn == 0 && ofStream == 0 {
		return
	}
	_ = c.later(func() (err error) { // serve finds out
		if ofConn > 0 {
			err = c.framer.WriteWindowUpdate(0, uint32(ofConn))
		}
		if ofStream > 0 && err == nil && !s.dead.Load() {
			err = c.framer.WriteWindowUpdate(s.id, uint32(ofStream))
		}
		return err
	})
}
