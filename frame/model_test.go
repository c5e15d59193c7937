package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/gobwas/ws"
)

// A mark is an event and where in the stream it ended.
type mark struct {
	At     int
	Event  Event
	Digest uint64
}

// A story is what a stream amounts to, however it is cut.
type story struct {
	Marks     []mark
	Forwarded []byte
	Messages  uint64
	Code      uint16
	Closed    bool
	Opaque    bool
}

func (s story) equal(other story) bool {
	return slices.Equal(s.Marks, other.Marks) && bytes.Equal(s.Forwarded, other.Forwarded) &&
		s.Messages == other.Messages && s.Code == other.Code && s.Closed == other.Closed && s.Opaque == other.Opaque
}

// A model reads a complete stream with gobwas/ws, which is the oracle, and the
// rules that it leaves to its callers.
type model struct {
	rules      Rules
	fragmented bool
	story      story
	boundaries []int // where a control frame may be put
}

func readModel(stream []byte, r Rules) *model {
	m := &model{rules: r}
	for at := 0; ; {
		if !m.story.Closed {
			m.boundaries = append(m.boundaries, at)
		}
		if at == len(stream) {
			return m
		}
		if n := m.viable(stream[at:]); n >= 0 {
			m.mark(at+n, Violation)
			m.story.Opaque = true
			m.story.Forwarded = append(m.story.Forwarded, stream[at:]...)
			return m
		}
		f, size, err := readFrame(stream[at:])
		m.header(f.Header, err)
		if err != nil {
			m.story.Forwarded = append(m.story.Forwarded, stream[at:]...)
			return m
		}
		at += size
		if !m.frame(f, at) {
			m.story.Forwarded = append(m.story.Forwarded, stream[at-size:at]...)
		}
	}
}

func (m *model) mark(at int, event Event) {
	m.story.Marks = append(m.story.Marks, mark{at, event, m.digest()})
}

func (m *model) digest() uint64 {
	if len(m.story.Marks) == 0 {
		return 0
	}
	return m.story.Marks[len(m.story.Marks)-1].Digest
}

// readFrame reads one frame without making room for what a header promises.
func readFrame(b []byte) (f ws.Frame, size int, err error) {
	r := bytes.NewReader(b)
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, 0, err
	}
	if f.Header.Length > int64(r.Len()) {
		return f, 0, errIncomplete
	}
	size = len(b) - r.Len()
	f.Payload = slices.Clone(b[size:][:f.Header.Length])
	if f.Header.Masked {
		ws.Cipher(f.Payload, f.Header.Mask, 0)
	}
	return f, size + int(f.Header.Length), nil
}

var errIncomplete = errors.New("incomplete payload")

// header notes what a header changes, if it is complete.
func (m *model) header(h ws.Header, err error) {
	if err != nil && !errors.Is(err, errIncomplete) {
		return
	}
	switch {
	case h.OpCode.IsControl():
	case h.OpCode.IsReserved():
		m.fragmented = m.fragmented || !h.Fin
	default:
		m.fragmented = !h.Fin
	}
}

// frame notes a complete frame that ends at, and reports whether it is a pong
// of ours.
func (m *model) frame(f ws.Frame, at int) (own bool) {
	h := f.Header
	switch h.OpCode {
	case ws.OpPing, ws.OpPong:
		if h.OpCode == ws.OpPong && m.rules.Swallow && h.Rsv == 0 &&
			bytes.Equal(f.Payload, binary.BigEndian.AppendUint64(nil, m.rules.Own)) {
			m.mark(at, OwnPong)
			return true
		}
		sum := fnv.New64a()
		sum.Write(f.Payload)
		event := Ping
		if h.OpCode == ws.OpPong {
			event = Pong
		}
		m.story.Marks = append(m.story.Marks, mark{at, event, sum.Sum64()})
	case ws.OpClose:
		m.story.Closed, m.story.Code = true, 1005
		if code, _ := ws.ParseCloseFrameData(f.Payload); h.Length > 0 {
			m.story.Code = uint16(code)
		}
		m.mark(at, Close)
	case ws.OpText, ws.OpBinary, ws.OpContinuation:
		if h.Fin {
			m.story.Messages++
		}
	}
	return false
}

// viable returns the index of the first byte of b after which no header can
// be valid any more, or -1.
func (m *model) viable(b []byte) int {
	for n := 1; n <= min(len(b), ws.MaxHeaderSize); n++ {
		header := b[:n]
		if n >= 2 && n >= headerSize(b) {
			header = b[:headerSize(b)]
		}
		if !slices.ContainsFunc(completions(header, m.rules.Masked), m.valid) {
			return n - 1
		}
	}
	return -1
}

func headerSize(b []byte) int {
	r := bytes.NewReader(append(slices.Clone(b), make([]byte, ws.MaxHeaderSize)...))
	all := r.Len()
	if _, err := ws.ReadHeader(r); errors.Is(err, ws.ErrHeaderLengthMSB) {
		return ws.MaxHeaderSize
	}
	return all - r.Len()
}

// completions returns headers that begin with p: if any header that does is
// valid, one of these is.
func completions(p []byte, masked bool) (list [][]byte) {
	seconds := []byte{0, 126, 127}
	if masked {
		seconds = []byte{0x80, 0x80 | 126, 0x80 | 127}
	}
	if len(p) > 1 {
		seconds = p[1:2]
	}
	for _, second := range seconds {
		whole := append([]byte{p[0], second, 0x7f}, bytes.Repeat([]byte{0xff}, ws.MaxHeaderSize)...)
		copy(whole, p)
		list = append(list, whole)
	}
	return list
}

// valid says what ws.CheckHeader says, and what it leaves out.
func (m *model) valid(b []byte) bool {
	h, err := ws.ReadHeader(bytes.NewReader(b))
	if err != nil {
		return false
	}
	state := ws.StateClientSide
	if m.rules.Masked {
		state = ws.StateServerSide
	}
	if m.fragmented {
		state = state.Set(ws.StateFragmented)
	}
	if m.rules.Extensions {
		state = state.Set(ws.StateExtended)
		switch {
		case h.OpCode >= 0xb:
			h.OpCode = ws.OpPing
		case h.OpCode.IsReserved() && m.fragmented:
			h.OpCode = ws.OpContinuation
		case h.OpCode.IsReserved():
			h.OpCode = ws.OpBinary
		}
	}
	if ws.CheckHeader(h, state) != nil {
		return false
	}
	if m.story.Closed && h.OpCode != ws.OpPong || m.story.Closed && b[0]&0xf != 0xa {
		return false
	}
	switch b[1] & 0x7f {
	case 126:
		return h.Length > 125
	case 127:
		return h.Length > 0xffff
	}
	return h.OpCode != ws.OpClose || h.Length != 1
}

// tell shows the pieces of a stream to a Scanner and returns what it said.
// Every promise of Next that does not depend on the stream is checked here.
func tell(t *testing.T, r Rules, pieces ...[]byte) story {
	t.Helper()
	var s Scanner
	s.Init(r)
	var told story
	at, released := 0, -1
	for _, b := range pieces {
		for len(b) > 0 {
			wasOpaque := s.Opaque()
			n, step := s.Next(b)
			if wasOpaque && (n != len(b) || step != Step{}) {
				t.Fatalf("opaque, but n %d of %d, %+v", n, len(b), step)
			}
			switch step.Do {
			case Forward:
				told.Forwarded = append(told.Forwarded, b[:n]...)
				if n == 0 && step.Event != Violation {
					t.Fatalf("no progress at %d: %+v", at, step)
				}
			case Release:
				if n != 0 || released == at || len(s.Kept()) == 0 || step.Event != None {
					t.Fatalf("release at %d: n %d, kept %d, %+v", at, n, len(s.Kept()), step)
				}
				released = at
				told.Forwarded = append(told.Forwarded, s.Kept()...)
			case Keep:
				if n != len(b) || len(s.Kept()) > keptBytesMax || s.AtBoundary() || step.Event != None {
					t.Fatalf("keep at %d: n %d of %d, kept %d, %+v", at, n, len(b), len(s.Kept()), step)
				}
			case Drop:
				if step.Event != OwnPong {
					t.Fatalf("drop at %d: %+v", at, step)
				}
			}
			b, at = b[n:], at+n
			if step.Event != None {
				told.Marks = append(told.Marks, mark{at, step.Event, s.Digest()})
			}
		}
	}
	told.Forwarded = append(told.Forwarded, s.Kept()...)
	told.Messages, told.Opaque = s.Messages(), s.Opaque()
	told.Code, told.Closed = s.CloseCode()
	return told
}

// checkCuts compares the story of the stream in the given pieces with that
// of the model.
func checkCuts(t *testing.T, want story, r Rules, pieces ...[]byte) {
	t.Helper()
	if got := tell(t, r, pieces...); !got.equal(want) {
		sizes := make([]int, len(pieces))
		for i, p := range pieces {
			sizes[i] = len(p)
		}
		t.Fatalf("%+v in pieces of %v\nof %.200x:\n got %+v\nwant %+v", r, sizes, bytes.Join(pieces, nil), got, want)
	}
}

// each cuts b into pieces of n bytes.
func each(b []byte, n int) [][]byte { return slices.Collect(slices.Chunk(b, n)) }
