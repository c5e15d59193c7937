package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A conn is a connection.
//
// One goroutine reads its frames and does what they say: serve. It waits for nobody,
// also not for the client to take what is sent: that client might wait for us to read.
// Each request has a goroutine that brings the answer (see stream) and writes it. All
// other frames go through later, which bounds them.
//
// Locks are taken in the order writing, mu; a stream's own lock comes before both.
type conn struct {
	lane   *Lane
	socket net.Conn
	client Client
	framer *http2.Framer // read by one goroutine, written under writing
	group  sync.WaitGroup

	resets, vain allowance // the reader's

	mu        sync.Mutex
	changed   sync.Cond // window is open, for one who waits for it, or a stream has ended
	streams   map[uint32]*stream
	ownResets []uint32 // streams that were reset from this side, the last ones, in a ring
	ownNext   int      // where the ring goes on
	received  int64    // bytes of DATA that the client may still send
	lastID    uint32   // highest that the client has used
	window    int64    // bytes of DATA that the client takes
	initial   int64    // of that, for a stream
	owed      int64    // bytes of DATA that were used, and the client not told of
	updates   int      // how many WINDOW_UPDATEs are no surprise
	leaving   bool     // no further request is taken

	control    []func() error // frames that are not of answers, still to be written
	controlled bool           // a goroutine writes them

	closed   bool
	idle     *time.Timer
	draining *time.Timer

	writing sync.Mutex
	encoder *hpack.Encoder
	block   bytes.Buffer // what encoder writes
	over    bool         // nothing is written any more
}

func newConn(l *Lane, socket net.Conn, client Client) *conn {
	c := &conn{
		lane: l, socket: socket, client: client, framer: http2.NewFramer(socket, socket),
		resets:   allowance{most: resetsMax, perSecond: resetsPerSecond},
		vain:     allowance{most: vainMax, perSecond: vainPerSecond},
		received: connectionWindow,
		streams:  make(map[uint32]*stream), window: defaultWindow, initial: defaultWindow,
	}
	c.changed.L = &c.mu
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(frameMax)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(defaultTable, nil)
	c.framer.MaxHeaderListSize = headSlack * uint32(l.config.Head)
	c.encoder = hpack.NewEncoder(&c.block)
	c.encoder.SetMaxDynamicTableSizeLimit(defaultTable)
	c.idle = time.AfterFunc(idleTime, c.quit)
	return c
}

// What holds until the peer says otherwise (RFC 9113 section 6.5.2), in bytes.
const (
	defaultWindow = 65535
	defaultTable  = 4096
)

// serve serves the connection to its end.
func (c *conn) serve(weak bool) {
	defer c.close()
	defer c.group.Wait()
	defer c.end()
	err := c.greet()
	if weak {
		err = http2.ConnectionError(http2.ErrCodeInadequateSecurity)
	}
	for first := true; c.survives(err); first = false {
		var f http2.Frame
		if f, err = c.framer.ReadFrame(); err != nil {
			continue
		}
		if settings, ok := f.(*http2.SettingsFrame); first && (!ok || settings.IsAck()) {
			err = protocolError // section 3.4
			continue
		}
		err = c.handle(f)
	}
}

const protocolError = http2.ConnectionError(http2.ErrCodeProtocol)

func streamError(id uint32, code http2.ErrCode) error {
	return http2.StreamError{StreamID: id, Code: code}
}

// greet sends our preface, and reads the client's (section 3.4).
func (c *conn) greet() error {
	settings := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: streamsMax},
		{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		{ID: http2.SettingMaxHeaderListSize, Val: uint32(c.lane.config.Head)},
	}
	if c.lane.config.WebSockets {
		settings = append(settings, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	}
	err := c.write(nil, func() error {
		if err := c.framer.WriteSettings(settings...); err != nil {
			return err
		}
		return c.framer.WriteWindowUpdate(0, connectionWindow-defaultWindow)
	})
	if err != nil {
		return err
	}
	c.lane.enter(c)
	var preface [len(http2.ClientPreface)]byte
	if _, err = io.ReadFull(c.socket, preface[:]); err != nil {
		return err
	}
	if string(preface[:]) != http2.ClientPreface {
		return protocolError
	}
	return nil
}

// survives does what err asks for, and reports whether the connection goes on.
func (c *conn) survives(err error) bool {
	if err == nil {
		return true
	}
	var ofStream http2.StreamError
	var ofConnection http2.ConnectionError
	switch {
	case errors.As(err, &ofStream) && ofStream.StreamID%2 == 0:
		c.goAway(http2.ErrCodeProtocol) // section 5.1.1: a client has none such
	case errors.As(err, &ofStream):
		c.used(ofStream.StreamID)
		c.reset(ofStream.StreamID, ofStream.Code)
		return c.survives(c.resets.take())
	case errors.Is(err, http2.ErrFrameTooLarge):
		c.goAway(http2.ErrCodeFrameSize)
	case errors.As(err, &ofConnection):
		c.goAway(http2.ErrCode(ofConnection))
	}
	c.lane.config.Log.Debug("connection of HTTP/2 ended", "client", c.socket.RemoteAddr().String(), "because", err)
	return false
}

// used takes note of the number of a stream that did not come to be.
func (c *conn) used(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving {
		c.lastID = max(c.lastID, id)
	}
}

// A fate is what became of a stream that is not under way (section 5.1).
type fate int

const (
	fateIdle fate = iota // it was not used yet, or is not the client's to use
	fateLate             // its end was said here, and the client may not have heard
	fateOver
)

// fateOf is called with mu held.
func (c *conn) fateOf(id uint32) fate {
	switch {
	case id%2 == 0:
		return fateIdle
	case id > c.lastID && c.leaving: // GOAWAY has said so
		return fateLate
	case id > c.lastID:
		return fateIdle
	case slices.Contains(c.ownResets, id):
		return fateLate
	}
	return fateOver
}

// handle does what a frame says.
func (c *conn) handle(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.onHeaders(f)
	case *http2.DataFrame:
		return c.onData(f)
	case *http2.SettingsFrame:
		return c.onSettings(f)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(f)
	case *http2.RSTStreamFrame:
		return c.onReset(f)
	case *http2.PingFrame:
		if f.IsAck() {
			return c.vain.take()
		}
		data := f.Data // f is the reader's
		return errors.Join(c.vain.take(), c.later(func() error { return c.framer.WritePing(true, data) }))
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return streamError(f.StreamID, http2.ErrCodeProtocol)
		}
		return c.vain.take() // and nothing else: RFC 9113 section 5.3 deprecates it
	case *http2.PushPromiseFrame:
		return protocolError
	}
	return c.vain.take() // GOAWAY, and what is unknown (section 4.1)
}

// onSettings takes what the client has set (section 6.5).
func (c *conn) onSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return c.vain.take()
	}
	if err := c.vain.take(); err != nil {
		return err
	}
	window := int64(-1) // the last counts: a frame may say it thousands of times
	err := f.ForeachSetting(func(s http2.Setting) error {
		if s.ID == http2.SettingInitialWindowSize {
			window = int64(s.Val)
		}
		return s.Valid()
	})
	if err == nil && window >= 0 {
		err = c.setInitialWindow(window)
	}
	if err != nil {
		return err
	}
	smallest, last, given := uint32(math.MaxUint32), uint32(0), false // both count (RFC 7541 section 4.2)
	_ = f.ForeachSetting(func(s http2.Setting) error {
		if s.ID == http2.SettingHeaderTableSize {
			smallest, last, given = min(smallest, s.Val), s.Val, true
		}
		return nil
	})
	return c.later(func() error {
		if given {
			c.encoder.SetMaxDynamicTableSize(smallest)
			c.encoder.SetMaxDynamicTableSize(last)
		}
		return c.framer.WriteSettingsAck()
	})
}

// setInitialWindow changes the windows of all streams (section 6.9.2).
func (c *conn) setInitialWindow(size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		if s.window += size - c.initial; s.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		s.changed.Signal()
	}
	c.initial = size
	return nil
}

// onWindowUpdate lets more be sent (section 6.9).
func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.updates > 0 {
		c.updates--
	} else if err := c.vain.take(); err != nil {
		return err
	}
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.share()
		return nil
	}
	s := c.streams[f.StreamID]
	switch {
	case s == nil && c.fateOf(f.StreamID) == fateIdle:
		return protocolError // section 5.1
	case s == nil:
		return nil
	}
	if s.window += int64(f.Increment); s.window > math.MaxInt32 {
		return streamError(s.id, http2.ErrCodeFlowControl)
	}
	s.changed.Signal()
	return nil
}

// onReset ends a request that the client has given up.
func (c *conn) onReset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	s, fate := c.streams[f.StreamID], c.fateOf(f.StreamID)
	c.mu.Unlock()
	switch {
	case s == nil && fate == fateIdle:
		return protocolError
	case s == nil:
		return c.vain.take()
	}
	c.forget(s)
	s.cut()
	return c.resets.take()
}

// reset ends a stream from this side.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	s := c.streams[id]
	if len(c.ownResets) < ownResetsKept {
		c.ownResets = append(c.ownResets, id)
	} else {
		c.ownResets[c.ownNext%ownResetsKept] = id
		c.ownNext++
	}
	c.mu.Unlock()
	if s != nil {
		s.dead.Store(true) // from now on nothing goes out for it
	}
	_ = c.later(func() error { return c.framer.WriteRSTStream(id, code) }) // serve finds out
	if s != nil {
		c.forget(s)
		s.cut()
	}
}

// forget takes note that s has ended: nothing is sent for it from now on but a
// reset.
func (c *conn) forget(s *stream) {
	s.dead.Store(true)
	c.mu.Lock()
	delete(c.streams, s.id)
	last, leaving := len(c.streams) == 0, c.leaving
	s.changed.Signal()
	c.changed.Broadcast() // s may wait for that
	if last && !c.closed {
		c.idle.Reset(idleTime)
	}
	c.mu.Unlock()
	if last && leaving {
		_ = c.later(c.socket.Close) // serve goes on
	}
}

// leave ends the connection as soon as its requests have ended. Those that are on
// their way to us are still taken (section 6.8).
func (c *conn) leave() {
	c.mu.Lock()
	quiet := c.underWay() == 0
	if !quiet && !c.closed && c.draining == nil {
		c.draining = time.AfterFunc(drainPause, c.leaveNow)
	}
	c.mu.Unlock()
	if quiet {
		c.leaveNow()
		return
	}
	_ = c.write(nil, func() error { return c.framer.WriteGoAway(math.MaxInt32, http2.ErrCodeNo, nil) })
}

// leaveNow takes no request any more.
func (c *conn) leaveNow() {
	c.mu.Lock()
	c.leaving = true
	last := len(c.streams) == 0
	c.mu.Unlock()
	c.goAway(http2.ErrCodeNo)
	if last {
		_ = c.socket.Close()
	}
}

// quit ends a connection that was idle for too long.
func (c *conn) quit() {
	c.mu.Lock()
	busy := len(c.streams) > 0
	c.mu.Unlock()
	if !busy {
		c.leaveNow()
	}
}

// goAway says which requests were taken, and why there will be no more.
func (c *conn) goAway(code http2.ErrCode) {
	c.mu.Lock()
	last := c.lastID
	c.mu.Unlock()
	_ = c.write(nil, func() error { return c.framer.WriteGoAway(last, code, nil) }) // it ends anyway
}

// end cuts what is under way.
func (c *conn) end() {
	c.mu.Lock()
	c.closed = true
	c.idle.Stop()
	if c.draining != nil {
		c.draining.Stop()
	}
	open := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		open = append(open, s)
	}
	c.mu.Unlock()
	for _, s := range open {
		c.forget(s)
		s.cut()
	}
}

// close ends the connection for whoever might still write: GOAWAY has goroutines of
// its own.
func (c *conn) close() {
	_ = c.socket.Close()
	c.writing.Lock()
	defer c.writing.Unlock()
	c.over = true
}

// errDead says that a stream, or its connection, has ended.
var errDead = fmt.Errorf("h2: %w", net.ErrClosed)
