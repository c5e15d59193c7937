package proxy

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Each message of a base64 endpoint is whole base64, padding and all, however the
// engine came by the backend's bytes: a client decodes messages one by one, and none
// waits for what may never come.
func TestEndpointBase64Messages(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	client := r.dial()
	write(t, client, withLines(upgradeRequest, "Sec-WebSocket-Protocol: base64"))
	backend := r.acceptBytes()
	expect(t, client, strings.TrimSuffix(upgradeAnswer, "\r\n")+"Sec-WebSocket-Protocol: base64\r\n\r\n")
	next := func() []byte {
		f := expectFrame(t, client, ws.OpText, false)
		b, err := base64.StdEncoding.AppendDecode(nil, f.Payload)
		if err != nil || len(b) == 0 {
			t.Fatalf("a message of %d bytes, %d decoded: %v", len(f.Payload), len(b), err)
		}
		return b
	}
	for size := 1; size <= 5; size++ { // alone: nothing comes behind it
		piece := "piece"[:size]
		write(t, backend, piece)
		if got := string(next()); got != piece {
			t.Fatalf("got %q, want %q", got, piece)
		}
	}
	noise := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(noise)
	go writePieces(backend, noise, rand.New(rand.NewPCG(1, 5)))
	for rest := noise; len(rest) > 0; {
		b := next()
		if !bytes.HasPrefix(rest, b) {
			t.Fatalf("other bytes, %d before the end", len(rest))
		}
		rest = rest[len(b):]
	}
}
