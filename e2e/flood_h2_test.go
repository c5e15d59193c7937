package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"wsplice/e2e/internal/rig"
)

const (
	// floodH2Connections is how many connections a flooder has at a time. What the
	// server ends is opened anew.
	floodH2Connections = 8
	// floodH2Batch is how many frames are written between two looks at the clock.
	floodH2Batch = 64
)

// A h2Flooder writes a few frames of a flood, the round-th ones on a connection.
type h2Flooder func(fr *http2.Framer, head []byte, round uint32) error

// floodH2 floods connections, and returns how many frames went out.
func floodH2(flooder h2Flooder) func(address string, stop <-chan struct{}) (int, error) {
	return func(address string, stop <-chan struct{}) (int, error) {
		var frames atomic.Int64
		last := make([]error, floodH2Connections)
		var connections sync.WaitGroup
		for i := range floodH2Connections {
			connections.Go(func() {
				for !stopped(stop) {
					last[i] = floodH2Once(address, stop, flooder, &frames)
				}
			})
		}
		connections.Wait()
		if frames.Load() == 0 {
			return 0, errors.Join(last...)
		}
		return int(frames.Load()), nil
	}
}

// floodH2Once floods one connection until the server ends it.
func floodH2Once(address string, stop <-chan struct{}, flooder h2Flooder, frames *atomic.Int64) error {
	raw, err := net.DialTimeout("tcp", address, rig.Soon)
	if err != nil {
		return err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select { // a server that takes no more keeps a write waiting
		case <-stop:
		case <-over:
		}
		_ = raw.Close()
	}()
	_ = raw.(*net.TCPConn).SetLinger(0)
	_ = raw.SetDeadline(time.Now().Add(rig.Soon))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err = conn.Handshake(); err != nil {
		return err
	}
	out := &batchWriter{to: conn}
	fr := http2.NewFramer(out, nil)
	fr.AllowIllegalWrites = true
	_, _ = out.Write([]byte(http2.ClientPreface))
	_ = fr.WriteSettings()
	go discard(conn)
	head := encodeOnce(rig.ConnectFields("/ws/flood"))
	for round := uint32(0); !stopped(stop); {
		for range floodH2Batch {
			if err = flooder(fr, head, round); err != nil {
				return err
			}
			round++
		}
		if err = out.flush(); err != nil {
			return err
		}
		frames.Add(floodH2Batch)
	}
	return nil
}

// discard reads what the server says until it ends.
func discard(conn net.Conn) {
	b := make([]byte, 16<<10)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// flooderOfResets begins WebSockets and gives each up at once (CVE-2023-44487).
func flooderOfResets(fr *http2.Framer, head []byte, round uint32) error {
	id := 2*round + 1
	err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
	return errors.Join(err, fr.WriteRSTStream(id, http2.ErrCodeCancel))
}

// flooderOfContinuations begins a header list that never ends (CVE-2023-45288).
func flooderOfContinuations(fr *http2.Framer, head []byte, round uint32) error {
	if round == 0 {
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head})
	}
	return fr.WriteContinuation(1, false, endlessFields)
}

func flooderOfSettings(fr *http2.Framer, _ []byte, _ uint32) error {
	return fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16})
}

func flooderOfPings(fr *http2.Framer, _ []byte, _ uint32) error {
	return fr.WritePing(false, [8]byte{1, 2, 3})
}

// A batchWriter collects frames, so that the flooder does not spend its core on
// records.
type batchWriter struct {
	to  net.Conn
	out []byte
}

func (w *batchWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

func (w *batchWriter) flush() error {
	_, err := w.to.Write(w.out)
	w.out = w.out[:0]
	return err
}

// encodeOnce returns a header block that refers to no other one, so that it can be
// sent again and again.
func encodeOnce(fields []rig.Field) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: field.Name, Value: field.Value, Sensitive: true}) // to memory
	}
	return block.Bytes()
}

// endlessFields are a part of a header list.
var endlessFields = func() []byte {
	fields := make([]rig.Field, 20)
	for i := range fields {
		fields[i] = rig.Field{Name: "x-flood", Value: "0123456789012345678901234567890123456789"}
	}
	return encodeOnce(fields)
}()
