package health

import (
	"bytes"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// FuzzAwaitPong holds that what passes ends with the pong that was asked for,
// that no part of it passes before, and that nothing behind it matters.
func FuzzAwaitPong(f *testing.F) {
	payload := []byte("8 bytes!")
	pong := ws.MustCompileFrame(ws.NewPongFrame(payload))
	text := ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))
	for _, seed := range [][]byte{
		pong, append(text, pong...), append(ws.MustCompileFrame(ws.NewPingFrame(nil)), pong...),
		append([]byte{0x01, 0x00}, pong...), append([]byte{0x80, 0x00}, pong...),
		{0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0x8a, 0x88},
		{0x0a, 0x08},
		{0x88, 0x00},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		if awaitPong(io.Discard, r, payload) != nil {
			return
		}
		used := data[:len(data)-r.Len()]
		if !bytes.HasSuffix(used, payload) {
			t.Fatalf("%x passes", used)
		}
		if awaitPong(io.Discard, bytes.NewReader(used[:len(used)-1]), payload) == nil {
			t.Errorf("%x passes without its last byte", used)
		}
	})
}
