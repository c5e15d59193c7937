package secure

import (
	"crypto/tls"
	"errors"
	"slices"
)

// Protocols that a listener can offer (ALPN, RFC 7301 section 6).
const (
	ProtocolHTTP2 = "h2"
	ProtocolHTTP1 = "http/1.1"
)

// strong are the cipher suites of TLS 1.2 that RFC 9113 appendix A does not prohibit,
// of those that crypto/tls has.
var strong = [...]uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// A handshake is a tls.Conn over memory: it makes the session, on a goroutine,
// and moves the bytes of one of TLS 1.2.
type handshake struct {
	memory
	conn  *tls.Conn
	meter meter // of what was fed

	client  bool
	secrets secrets

	// The goroutine's, guarded by mu, and the loop's once done.
	done    bool
	err     error
	records *records // of TLS 1.3
	peer    *Peer
	http2   bool
	weak    bool // for HTTP/2
}

// newHandshake prepares a session by config, which is copied: the secrets of each
// connection have a place of their own.
func newHandshake(config *tls.Config, gate *Gate, client bool) *handshake {
	h := &handshake{client: client}
	h.gate, h.waits = gate, true
	h.more.L = &h.mu
	h.secrets.told = func() { h.known = true } // on the goroutine that writes, between two writes
	config = config.Clone()
	config.KeyLogWriter = &h.secrets
	if client {
		h.conn = tls.Client(h, config)
	} else {
		h.conn = tls.Server(h, config)
	}
	return h
}

// begin computes it, on a goroutine of its own.
func (h *handshake) begin() {
	if !h.gate.begin(h.client) {
		h.over(ErrBusy)
		return
	}
	go func() {
		h.since = h.gate.enter(false)
		err := h.conn.Handshake()
		if err == nil {
			err = h.settle()
		}
		h.gate.leave(h.since)
		h.gate.end(h.client)
		h.over(err)
	}()
}

// settle takes over what the session needs from crypto/tls.
func (h *handshake) settle() (err error) {
	state := h.conn.ConnectionState()
	h.peer = peerOf(&state)
	h.http2 = state.NegotiatedProtocol == ProtocolHTTP2
	h.weak = state.Version != tls.VersionTLS13 && !slices.Contains(strong[:], state.CipherSuite)
	if state.Version != tls.VersionTLS13 {
		return nil
	}
	r := &records{suite: state.CipherSuite}
	in, out := h.secrets.client, h.secrets.server
	if h.client {
		in, out = out, in
	}
	if err = r.in.use(r.suite, in); err != nil {
		return err
	}
	if err = r.out.use(r.suite, out); err != nil {
		return err
	}
	if h.client {
		r.ticket, h.flight = h.ticket, nil
	} else {
		h.countTickets(&r.out)
	}
	h.records = r
	return nil
}

// countTickets finds how many records crypto/tls has protected with the keys that
// now are ours: session tickets, behind its Finished in one flight.
func (h *handshake) countTickets(out *half) {
	var scratch []byte
	for b := h.flight; len(b) >= headerBytes; {
		size := headerBytes + int(b[3])<<8 + int(b[4])
		if b[0] == typeApplication {
			var err error
			if scratch, err = out.aead.Open(scratch[:0], out.nonce(), b[headerBytes:size], b[:headerBytes]); err == nil {
				out.seq++
			}
		}
		b = b[size:]
	}
	h.flight = nil
}

// ticket gives crypto/tls a record with session tickets, to keep for later
// sessions. It has had all records before it.
func (h *handshake) ticket(record []byte) error {
	h.feed(record)
	_, err := h.conn.Read(make([]byte, 1))
	h.back() // an alert of its own would take a nonce of ours
	if errors.Is(err, errEmpty) {
		return nil
	}
	return err
}

// over notes how the handshake has ended.
func (h *handshake) over(err error) {
	h.mu.Lock()
	h.done, h.err = true, err
	h.waits = false
	h.closed = h.closed || err != nil
	h.mu.Unlock()
	h.wake()
}

// result reports whether the handshake is over.
func (h *handshake) result() (done bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done, h.err
}

// errRoom says that a record has become longer than it was.
var errRoom = errors.New("secure: no room for what was opened")

// open appends to dst what b brings, behind what was fed and not read.
func (h *handshake) open(dst, b []byte) ([]byte, error) {
	if rest := h.rest(); len(rest) > 0 {
		b = append(rest, b...)
	}
	h.meter.add(b)
	h.show(b)
	defer h.hide()
	for len(dst) < cap(dst) {
		n, err := h.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, errEmpty) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
	if len(b) == 0 {
		return dst, nil
	}
	return dst, errRoom // it cannot be: Read would return nothing again and again
}

// seal appends the records of b to dst, behind what is there already.
func (h *handshake) seal(dst, b []byte) []byte {
	h.lend(dst)
	if len(b) > 0 {
		_, _ = h.conn.Write(b) // it fails only behind an alert of ours, which open tells of
	}
	return h.back()
}

// finish appends a close_notify.
func (h *handshake) finish(dst []byte) []byte {
	h.lend(dst)
	_ = h.conn.CloseWrite() // likewise
	return h.back()
}
