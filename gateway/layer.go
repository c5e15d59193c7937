package gateway

import (
	"bytes"
	"cmp"
)

// A Layer stands between what a connection carries and HTTP, as TLS does. Its
// handshake is over.
type Layer interface {
	// Room returns how large a buffer Open needs for n received bytes; 0 = none.
	Room(n int) int
	// Open returns what received brings, appended to dst if that is not nil, or inside
	// received. The error says that there is no more: io.EOF, or why the connection is
	// broken.
	Open(dst, received []byte) ([]byte, error)
	// Seal appends what carries b to dst.
	Seal(dst, b []byte) []byte
}

// readConn reads from the client, through its layer if there is one. It is called
// with reading held.
func (g *gate) readConn(p []byte) (int, error) {
	if g.job.Layer == nil {
		return g.conn.Read(p)
	}
	var received [layerReadBytes]byte
	n, err := 0, error(nil)
	for len(g.opened) == 0 {
		// First without bytes: the layer may know of the end already.
		var ended error
		if g.opened, ended = g.open(received[:n]); len(g.opened) > 0 {
			break
		}
		if ended != nil || err != nil {
			return 0, cmp.Or(ended, err)
		}
		n, err = g.conn.Read(received[:])
	}
	n = copy(p, g.opened)
	g.opened = g.opened[n:]
	return n, nil
}

// open returns what is in received, in memory of its own.
func (g *gate) open(received []byte) ([]byte, error) {
	var dst []byte
	if room := g.job.Layer.Room(len(received)); room > 0 {
		dst = make([]byte, 0, room)
	}
	plain, err := g.job.Layer.Open(dst, received)
	if dst == nil {
		plain = bytes.Clone(plain)
	}
	return plain, err
}

// writeLayer sends p through the layer, in parts of layerWriteBytes: a part that
// was sealed must go out whole.
func (g *gate) writeLayer(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(n+layerWriteBytes, len(p))]
		if _, err = writePaced(g.conn, g.job.Layer.Seal(nil, part), g.armWrite); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}
