package rig

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/http2"
)

// errH2 marks what the peer must not do.
var errH2 = errors.New("the peer breaks the rules of HTTP/2")

// receive takes in frames until the connection ends.
func (c *h2Conn) receive() {
	var err error
	for err == nil {
		var f http2.Frame
		if f, err = c.fr.ReadFrame(); err == nil {
			err = c.take(f)
		} else if !errors.Is(err, io.EOF) && c.fr.ErrorDetail() != nil {
			err = fmt.Errorf("%w (%w)", err, c.fr.ErrorDetail())
		}
	}
	c.mu.Lock()
	c.err = err
	c.notify()
	c.mu.Unlock()
	_ = c.conn.Close()
}

// reply sends what receive has to say. A client that stopped reading until that is
// written could wait for a server that does the same.
func (c *h2Conn) reply() {
	for {
		c.mu.Lock()
		replies, over, changed := c.replies, c.err != nil, c.changed
		c.replies = nil
		c.mu.Unlock()
		for _, send := range replies {
			if c.Write(send) != nil {
				_ = c.conn.Close() // receive hears of it
				return
			}
		}
		if over {
			return
		}
		if len(replies) == 0 {
			select {
			case <-changed:
			case <-c.replying:
			}
		}
	}
}

// take handles one frame. What it answers is written when the lock is free.
func (c *h2Conn) take(f http2.Frame) error {
	var reply func(*http2.Framer) error
	c.mu.Lock()
	err := func() (err error) {
		defer c.notifyOf(f)
		switch f := f.(type) {
		case *http2.SettingsFrame:
			reply, err = c.takeSettings(f)
		case *http2.PingFrame:
			if f.IsAck() {
				c.pongs++
				return nil
			}
			data := f.Data
			reply = func(fr *http2.Framer) error { return fr.WritePing(true, data) }
		case *http2.GoAwayFrame:
			c.farewell = &H2Farewell{f.LastStreamID, f.ErrCode, string(f.DebugData())}
		case *http2.WindowUpdateFrame:
			c.takeWindow(f)
		case *http2.DataFrame:
			reply, err = c.takeData(f)
		case *http2.MetaHeadersFrame:
			err = c.takeHeaders(f)
		case *http2.RSTStreamFrame:
			if s := c.streams[f.StreamID]; s != nil && s.reset == nil {
				s.reset = &H2Reset{Code: f.ErrCode}
			}
		case *http2.PushPromiseFrame:
			err = fmt.Errorf("%w: a push", errH2)
		}
		return err
	}()
	if err == nil && reply != nil {
		c.replies = append(c.replies, reply)
		select {
		case c.replying <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	return err
}

// notifyOf tells those whom a frame may concern.
func (c *h2Conn) notifyOf(f http2.Frame) {
	if id := f.Header().StreamID; id == 0 {
		c.notify()
	} else if s := c.streams[id]; s != nil {
		s.notify()
	}
}

func (c *h2Conn) takeSettings(f *http2.SettingsFrame) (reply func(*http2.Framer) error, err error) {
	if f.IsAck() {
		return nil, nil
	}
	err = f.ForeachSetting(func(s http2.Setting) error {
		if s.ID == http2.SettingInitialWindowSize {
			before, ok := c.settings[s.ID]
			if !ok {
				before = h2FirstSend
			}
			for _, stream := range c.streams {
				stream.sendWindow += int64(s.Val) - int64(before)
			}
		}
		c.settings[s.ID] = s.Val
		return s.Valid()
	})
	c.told = true
	table, limited := c.settings[http2.SettingHeaderTableSize]
	return func(fr *http2.Framer) error {
		if limited {
			c.enc.SetMaxDynamicTableSizeLimit(table)
		}
		return fr.WriteSettingsAck()
	}, err
}

func (c *h2Conn) takeWindow(f *http2.WindowUpdateFrame) {
	if f.StreamID == 0 {
		c.sendWindow += int64(f.Increment)
	} else if s := c.streams[f.StreamID]; s != nil {
		s.sendWindow += int64(f.Increment)
		s.granted += int64(f.Increment)
	}
}

func (c *h2Conn) takeData(f *http2.DataFrame) (reply func(*http2.Framer) error, err error) {
	s := c.streams[f.StreamID]
	if s == nil || s.answer == nil || s.ended {
		return nil, fmt.Errorf("%w: DATA on stream %d, which is not open for that", errH2, f.StreamID)
	}
	s.received += int64(f.Length)
	if s.received > c.window+s.returned {
		return nil, fmt.Errorf("%w: %d bytes on stream %d, and %d were allowed", errH2, s.received, f.StreamID, c.window+s.returned)
	}
	s.padding += int64(f.Length) - int64(len(f.Data()))
	s.in = append(s.in, f.Data()...)
	s.ended = f.StreamEnded()
	if n := f.Length; n > 0 {
		reply = func(fr *http2.Framer) error { return fr.WriteWindowUpdate(0, n) }
	}
	return reply, nil
}

func (c *h2Conn) takeHeaders(f *http2.MetaHeadersFrame) error {
	s := c.streams[f.StreamID]
	if s == nil || s.ended {
		return fmt.Errorf("%w: HEADERS on stream %d, which is not open", errH2, f.StreamID)
	}
	a, err := headerOf(f)
	if err != nil {
		return fmt.Errorf("%w: %w", errH2, err)
	}
	switch {
	case s.answer == nil && a.Status == 0:
		return fmt.Errorf("%w: no :status", errH2)
	case s.answer == nil && a.Status >= 200:
		s.answer = a
	case s.answer != nil && !f.StreamEnded():
		return fmt.Errorf("%w: a second header that does not end stream %d", errH2, f.StreamID)
	}
	s.ended = f.StreamEnded()
	return nil
}
