package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// What a client may not send ends the tunnel with the right code, behind what came
// before it.
func TestEndpointViolations(t *testing.T) {
	long := func(bits ...byte) []byte { return append([]byte{0x82, 0xff}, append(bits, 1, 2, 3, 4)...) }
	for name, c := range map[string]struct {
		bytes []byte
		code  ws.StatusCode
	}{
		"not masked":       {plain(text("x")), 1002},
		"reserved bit":     {[]byte{0xc1, 0x80, 1, 2, 3, 4}, 1002},
		"reserved opcode":  {[]byte{0x83, 0x80, 1, 2, 3, 4}, 1002},
		"length 2^63":      {long(0x80, 0, 0, 0, 0, 0, 0, 0), 1002},
		"longer than need": {long(0, 0, 0, 0, 0, 0, 0xff, 0xff), 1002},
		"continuation":     {masked(ws.NewFrame(ws.OpContinuation, true, nil)), 1002},
		"fragmented ping":  {masked(ws.NewFrame(ws.OpPing, false, nil)), 1002},
		"close code 1005":  {masked(ws.NewCloseFrame([]byte{0x03, 0xed})), 1002},
		"text":             {masked(text("\xff")), 1007},
		"cut text":         {masked(text("\xe2\x82")), 1007},
		"close reason":     {masked(ws.NewCloseFrame([]byte{0x03, 0xe8, 0xff})), 1007},
		"frame too large":  {long(0, 0, 0, 0, 0, 1, 0, 1), 1009},
		"message too large": {slices.Concat(masked(ws.NewFrame(ws.OpBinary, false, make([]byte, 60_000))),
			masked(ws.NewFrame(ws.OpContinuation, true, make([]byte, 60_000)))), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			r := newRig(t, func(config *Config) {
				endpointRoute(func(r *Route) { r.Endpoint.FrameBytes, r.Endpoint.MessageBytes = 1<<16, 100_000 })(config)
				config.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			client, backend := r.endpointTunnel()
			send(t, client, append(masked(text("before")), c.bytes...))
			expectClose(t, client, c.code)
			got := expectEnd(t, backend)
			if !strings.HasPrefix(got, "before") || c.code == 1002 && len(got) != len("before") {
				t.Errorf("the backend got %q", got)
			}
			client.Close()
			backend.Close()
			r.took(stateParting, stateClosing)
			if n := r.server.Stats().Violations; n != 1 {
				t.Errorf("%d violations", n)
			}
			r.close(patience)
			for _, want := range []string{
				`ended_by=client why="protocol violation"`, "frames=violation", "closed_first=proxy",
				fmt.Sprint("sent_close_code=", uint16(c.code)),
			} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("no %s in the log: %s", want, log.String())
				}
			}
		})
	}
}

// A client's Close is answered with its code, and the backend gets all that came
// before it and then the end.
func TestEndpointClosedByClient(t *testing.T) {
	for name, c := range map[string]struct{ sent, answer []byte }{
		"code and reason": {ws.NewCloseFrameBody(4321, "bye"), ws.NewCloseFrameBody(4321, "")},
		"1000":            {ws.NewCloseFrameBody(1000, ""), ws.NewCloseFrameBody(1000, "")},
		"no code":         {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, endpointRoute(nil))
			client, backend := r.endpointTunnel()
			send(t, client, append(masked(text("last")), masked(ws.NewCloseFrame(c.sent))...))
			got := expectFrame(t, client, ws.OpClose, false)
			if !bytes.Equal(got.Payload, c.answer) {
				t.Errorf("answered with %q, want %q", got.Payload, c.answer)
			}
			if got := expectEnd(t, client); got != "" {
				t.Errorf("%q behind the Close", got)
			}
			if got := expectEnd(t, backend); got != "last" {
				t.Errorf("the backend got %q", got)
			}
			write(t, backend, "too late")
			backend.Close()
			client.Close()
			r.took(stateParting, stateClosing)
		})
	}
}

// What ends a tunnel otherwise says so to the client.
func TestEndpointClosesSayWhy(t *testing.T) {
	type tunnel struct {
		*rig
		backend *net.TCPConn
	}
	for _, c := range []struct {
		name   string
		change func(*Route)
		end    func(t *testing.T, v tunnel)
		want   string // payload of messages before the Close
		code   ws.StatusCode
	}{
		{"backend ends", nil, func(t *testing.T, v tunnel) { write(t, v.backend, "bye"); v.backend.Close() }, "bye", 1001},
		{"backend half-closes", nil, func(t *testing.T, v tunnel) { closeWrite(t, v.backend) }, "", 1001},
		{"backend reset", nil, func(t *testing.T, v tunnel) { reset(t, v.backend) }, "", 1011},
		{"the backend's text is none", nil, func(t *testing.T, v tunnel) { write(t, v.backend, "good\xffbad") }, "good", 1007},
		{"backend ends in a character", nil, func(t *testing.T, v tunnel) {
			write(t, v.backend, "good\xe2\x82")
			v.backend.Close()
		}, "good", 1007},
		{"idle timeout", func(r *Route) { r.IdleTimeout = 100 * time.Millisecond }, nil, "", 1001},
		{"lifetime", func(r *Route) { r.Lifetime = 100 * time.Millisecond }, nil, "", 1001},
		{"drain", nil, func(_ *testing.T, v tunnel) { v.close(0) }, "", 1001},
		{"no pong", func(r *Route) {
			r.PingInterval, r.PongTimeout = 50*time.Millisecond, 150*time.Millisecond
		}, nil, "", 1011},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, endpointRoute(c.change))
			client, backend := r.endpointTunnel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c.end != nil {
					c.end(t, tunnel{r, backend})
				}
			}()
			if c.want != "" {
				expectMessage(t, client, ws.OpText, c.want)
			}
			expectClose(t, client, c.code)
			client.Close()
			<-done
			if strings.HasPrefix(c.name, "backend ends") || c.name == "backend reset" {
				return // it has closed its side
			}
			if got := expectEnd(t, backend); got != "" {
				t.Errorf("the backend got %q", got)
			}
			backend.Close()
		})
	}
}

// A client that half-closes without a Close still gets what the backend sends.
func TestEndpointHalfCloseByClient(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	client, backend := r.endpointTunnel()
	send(t, client, masked(text("question")))
	closeWrite(t, client)
	if got := expectEnd(t, backend); got != "question" {
		t.Errorf("the backend got %q", got)
	}
	write(t, backend, "late answer")
	expectMessage(t, client, ws.OpText, "late answer")
	backend.Close()
	expectClose(t, client, ws.StatusGoingAway)
}
