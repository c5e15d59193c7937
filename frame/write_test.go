package frame

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestAppendClose(t *testing.T) {
	tests := []struct {
		name         string
		code         ws.StatusCode
		reason, want string
	}{
		{"no reason", ws.StatusGoingAway, "", ""},
		{"reason", StatusServiceRestart, "back soon", "back soon"},
		{"the longest", 4999, strings.Repeat("x", 123), strings.Repeat("x", 123)},
		{"too long", ws.StatusInternalServerError, strings.Repeat("x", 124), strings.Repeat("x", 123)},
		{"cut within a character", ws.StatusGoingAway, "x" + strings.Repeat("é", 62), "x" + strings.Repeat("é", 61)},
		{"cut within four bytes", ws.StatusGoingAway, strings.Repeat("😀", 31), strings.Repeat("😀", 30)},
		{"not UTF-8", ws.StatusGoingAway, "a\xffb", "a\ufffdb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := ws.NewCloseFrame(ws.NewCloseFrameBody(test.code, test.want))
			b := AppendClose([]byte("before"), test.code, test.reason, false)
			if !bytes.Equal(b, append([]byte("before"), ws.MustCompileFrame(want)...)) {
				t.Errorf("unmasked: %x", b)
			}
			f := readMasked(t, AppendClose(nil, test.code, test.reason, true))
			code, reason := ws.ParseCloseFrameData(f.Payload)
			if f.Header.OpCode != ws.OpClose || code != test.code || reason != test.want {
				t.Errorf("masked: %+v, %d %q", f.Header, code, reason)
			}
		})
	}
}

// readMasked reads the one frame that is in b, as a server would.
func readMasked(t *testing.T, b []byte) ws.Frame {
	t.Helper()
	r := bytes.NewReader(b)
	f, err := ws.ReadFrame(r)
	if err != nil || r.Len() != 0 {
		t.Fatalf("%x: %v, %d bytes left", b, err, r.Len())
	}
	if err := ws.CheckHeader(f.Header, ws.StateServerSide); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return ws.UnmaskFrameInPlace(f)
}

func TestAppendPing(t *testing.T) {
	want := binary.BigEndian.AppendUint64(nil, own)
	b := AppendPing([]byte("x"), own, false)
	if !bytes.Equal(b[1:], ws.MustCompileFrame(ws.NewPingFrame(want))) {
		t.Errorf("unmasked: %x", b)
	}
	keys := map[[4]byte]bool{}
	for range 8 {
		ping := AppendPing(nil, own, true)
		keys[[4]byte(ping[2:])] = true
		if f := readMasked(t, ping); f.Header.OpCode != ws.OpPing || !bytes.Equal(f.Payload, want) {
			t.Errorf("masked: %+v", f)
		}
	}
	if len(keys) < 4 {
		t.Errorf("8 pings have only %d keys", len(keys))
	}
}

// TestMayWrite compares with gobwas/ws, which knows no codes above 1011, and
// holds that AppendClose panics for the others.
func TestMayWrite(t *testing.T) {
	for i := range 1 << 16 {
		code := ws.StatusCode(i)
		want := ws.CheckCloseFrameData(code, "") == nil && code < 5000 || code >= 1012 && code <= 1014
		if MayWrite(code) != want {
			t.Errorf("MayWrite(%d) is %v", code, !want)
		}
	}
	for _, code := range []ws.StatusCode{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("code %d was written", code)
				}
			}()
			AppendClose(nil, code, "", false)
		}()
	}
}

func FuzzAppendClose(f *testing.F) {
	f.Add(uint16(1000), "bye", true)
	f.Add(uint16(1012), strings.Repeat("é", 80), false)
	f.Add(uint16(3000), strings.Repeat("\xff", 80), true)
	f.Fuzz(func(t *testing.T, code uint16, reason string, masked bool) {
		if !MayWrite(ws.StatusCode(code)) {
			return
		}
		b := AppendClose(nil, ws.StatusCode(code), reason, masked)
		told := tell(t, Rules{Masked: masked}, b)
		if told.Opaque || !told.Closed || told.Code != code || len(told.Marks) != 1 || told.Marks[0].At != len(b) {
			t.Fatalf("%x reads as %+v", b, told)
		}
		frame, _, err := readFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		_, got := ws.ParseCloseFrameData(frame.Payload)
		valid := strings.ToValidUTF8(reason, "\ufffd")
		if !utf8.ValidString(got) || !strings.HasPrefix(valid, got) || len(got) < min(len(valid), reasonBytesMax-utf8.UTFMax+1) {
			t.Fatalf("%q became %q", reason, got)
		}
	})
}

func TestAppendToClient(t *testing.T) {
	for _, payload := range []string{"", "ping", strings.Repeat("\xff", 125)} {
		b := AppendPong([]byte("x"), []byte(payload))
		if !bytes.Equal(b[1:], ws.MustCompileFrame(ws.NewPongFrame([]byte(payload)))) || len(b) > 1+PongBytesMax {
			t.Errorf("a pong %x", b)
		}
	}
	if b := AppendEmptyClose([]byte("x")); !bytes.Equal(b[1:], ws.MustCompileFrame(ws.NewCloseFrame(nil))) {
		t.Errorf("a close %x", b)
	}
	defer func() {
		if recover() == nil {
			t.Error("a pong of 126 bytes was written")
		}
	}()
	AppendPong(nil, make([]byte, 126))
}
