package secure

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Types of what is in a record (RFC 8446 section 5.1).
const (
	typeAlert       = 21
	typeHandshake   = 22
	typeApplication = 23
)

// Alerts (RFC 8446 section 6).
const (
	alertCloseNotify       = 0
	alertUnexpectedMessage = 10
	alertBadRecordMAC      = 20
	alertRecordOverflow    = 22
	alertDecodeError       = 50
	alertInternalError     = 80
	alertUserCanceled      = 90
)

const (
	headerBytes = 5
	nonceBytes  = 12
	tagBytes    = 16

	plainMax  = 16 << 10       // of a record, its type and padding apart (section 5.4)
	sealedMax = plainMax + 256 // of a record behind its header (section 5.2)
)

// A half is one direction of a connection: its cipher, and how many records it
// has protected.
type half struct {
	aead   cipher.AEAD
	iv     [nonceBytes]byte
	seq    uint64
	secret []byte
	next   [nonceBytes]byte // here, because it would be allocated for each record
}

// use takes the keys of a secret.
func (h *half) use(suite uint16, secret []byte) (err error) {
	h.secret, h.seq = secret, 0
	h.aead, h.iv, err = newAEAD(suite, secret)
	return err
}

// update takes the next keys, behind a KeyUpdate.
func (h *half) update(suite uint16) error {
	secret, err := nextSecret(suite, h.secret)
	if err != nil {
		return err
	}
	return h.use(suite, secret)
}

// nonce is that of the next record (section 5.3), until the next call.
func (h *half) nonce() []byte {
	h.next = h.iv
	for i := range 8 {
		h.next[nonceBytes-1-i] ^= byte(h.seq >> (8 * i))
	}
	return h.next[:]
}

// records protect the bytes of a TLS 1.3 connection whose handshake is over (RFC
// 8446 section 5). Compared with crypto/tls they hold less, above all no buffer
// that stays as large as the largest record was, and copy less. Open and Seal may
// run side by side.
type records struct {
	suite uint16

	// Reading.
	in      half
	partial []byte                    // of a record; from partials
	idle    int                       // records in a row without bytes of the owner's
	message []byte                    // of the handshake protocol, not complete
	ticket  func(record []byte) error // nil once no more tickets are taken

	// Writing.
	mu  sync.Mutex
	out half
	own []byte // records that are to go before the next
}

// partials hold the beginnings of records.
var partials = sync.Pool{New: func() any { b := make([]byte, 0, headerBytes+sealedMax); return &b }}

// A brokenError is why a connection is of no more use, and what the peer is told.
type brokenError struct {
	alert byte
	why   string
}

func (e *brokenError) Error() string { return "tls: " + e.why }

// room returns how large a buffer open needs for n bytes: none, unless they
// complete a record that has begun before.
func (r *records) room(n int) int {
	if len(r.partial) == 0 {
		return 0
	}
	return len(r.partial) + n
}

// open returns what is in b for the owner: in b, which it overwrites, or, where
// room says so, in dst.
func (r *records) open(dst, b []byte) (plain []byte, err error) {
	if dst != nil {
		if len(r.partial) > 0 {
			dst, b, err = r.openPartial(dst, b)
		}
		for err == nil && len(b) > 0 {
			var inner []byte
			if inner, b, err = r.next(b); err == nil {
				dst = append(dst, inner...)
			}
		}
		return dst, r.broken(err)
	}
	for err == nil && len(b) > 0 {
		var inner []byte
		if inner, b, err = r.next(b); err != nil {
			break
		}
		if len(plain) == 0 {
			plain = inner // where it is, which spares most reads a copy
		} else {
			plain = append(plain, inner...) // inner lies behind it in b
		}
	}
	return plain, r.broken(err)
}

// openPartial completes the record that has begun, and appends what is in it to
// dst.
func (r *records) openPartial(dst, b []byte) (_, rest []byte, err error) {
	for len(r.partial) < headerBytes && len(b) > 0 {
		r.partial, b = append(r.partial, b[0]), b[1:]
	}
	if len(r.partial) < headerBytes {
		return dst, nil, nil
	}
	size, err := recordSize(r.partial)
	if err != nil {
		return dst, nil, err
	}
	n := min(size-len(r.partial), len(b))
	r.partial, b = append(r.partial, b[:n]...), b[n:]
	if len(r.partial) < size {
		return dst, nil, nil
	}
	inner, err := r.openRecord(r.partial)
	dst = append(dst, inner...)
	r.drop()
	return dst, b, err
}

// drop gives the buffer of a partial record back.
func (r *records) drop() {
	if b := r.partial; b != nil {
		r.partial = nil
		b = b[:0]
		partials.Put(&b)
	}
}

// next opens the record that b begins with. One that is not whole is kept.
func (r *records) next(b []byte) (inner, rest []byte, err error) {
	size := headerBytes
	if len(b) >= headerBytes {
		if size, err = recordSize(b); err != nil {
			return nil, nil, err
		}
	}
	if len(b) < size {
		r.partial = append((*partials.Get().(*[]byte))[:0], b...)
		return nil, nil, nil
	}
	inner, err = r.openRecord(b[:size])
	return inner, b[size:], err
}

// recordSize returns how long the record is whose header b begins with.
func recordSize(b []byte) (int, error) {
	n := int(b[3])<<8 | int(b[4])
	switch {
	case b[0] != typeApplication:
		return 0, &brokenError{alertUnexpectedMessage, fmt.Sprintf("record of type %d behind the handshake", b[0])}
	case n > sealedMax:
		return 0, &brokenError{alertRecordOverflow, fmt.Sprintf("record of %d bytes (max %d)", n, sealedMax)}
	}
	return headerBytes + n, nil
}

var errMAC = &brokenError{alertBadRecordMAC, "bad record MAC"}

// openRecord opens a whole record in place, and deals with what is not the
// owner's.
func (r *records) openRecord(record []byte) ([]byte, error) {
	var kept []byte
	if r.ticket != nil {
		kept = slices.Clone(record)
	}
	body := record[headerBytes:]
	plain, err := r.in.aead.Open(body[:0], r.in.nonce(), body, record[:headerBytes])
	if err != nil {
		return nil, errMAC
	}
	r.in.seq++
	end := len(plain)
	for end > 0 && plain[end-1] == 0 { // padding (section 5.4)
		end--
	}
	if end == 0 {
		return nil, &brokenError{alertUnexpectedMessage, "record without a type"}
	}
	inner, kind := plain[:end-1], plain[end-1]
	if kind != typeHandshake {
		r.ticket = nil // crypto/tls, which has not seen this record, could not go on
	}
	switch {
	case len(inner) > plainMax:
		return nil, &brokenError{alertRecordOverflow, fmt.Sprintf("record with %d bytes (max %d)", len(inner), plainMax)}
	case kind != typeHandshake && len(r.message) > 0:
		return nil, &brokenError{alertUnexpectedMessage, "record inside a handshake message"}
	case kind == typeApplication && len(inner) > 0:
		r.idle = 0
		return inner, nil
	}
	if r.idle++; r.idle > idleRecordsMax {
		return nil, &brokenError{alertUnexpectedMessage, "too many records without data"}
	}
	switch kind {
	case typeApplication:
		return nil, nil
	case typeAlert:
		return nil, alertError(inner)
	case typeHandshake:
		return nil, r.handshake(inner, kept)
	}
	return nil, &brokenError{alertUnexpectedMessage, fmt.Sprintf("record of type %d", kind)}
}

// alertError is what an alert of the peer means.
func alertError(alert []byte) error {
	switch {
	case len(alert) != 2:
		return &brokenError{alertDecodeError, "alert of a wrong size"}
	case alert[1] == alertCloseNotify:
		return io.EOF
	case alert[1] == alertUserCanceled: // a close_notify follows (section 6.1)
		return nil
	}
	return fmt.Errorf("tls: the peer has sent alert %d", alert[1])
}

// Messages behind the handshake (section 4.6).
const (
	messageSessionTicket = 4
	messageKeyUpdate     = 24
)

// handshake takes part of a message. Tickets go, as the record they came in, to
// who keeps sessions.
func (r *records) handshake(b, record []byte) error {
	r.message = append(r.message, b...)
	for len(r.message) >= 4 {
		n := int(r.message[1])<<16 | int(r.message[2])<<8 | int(r.message[3])
		if n > messageMax {
			return &brokenError{alertDecodeError, fmt.Sprintf("handshake message of %d bytes (max %d)", n, messageMax)}
		}
		if len(r.message) < 4+n {
			break
		}
		kind, body := r.message[0], r.message[4:4+n]
		r.message = r.message[4+n:]
		switch kind {
		case messageSessionTicket:
		case messageKeyUpdate:
			if err := r.keyUpdate(body); err != nil {
				return err
			}
		default:
			return &brokenError{alertUnexpectedMessage, fmt.Sprintf("handshake message of type %d behind the handshake", kind)}
		}
	}
	if len(r.message) == 0 {
		r.message = nil
	}
	if r.ticket != nil && r.ticket(record) != nil {
		r.ticket = nil
	}
	return nil
}

// keyUpdate takes the peer's next keys, and answers with ours if it wants that
// (section 4.6.3).
func (r *records) keyUpdate(body []byte) error {
	if len(body) != 1 || body[0] > 1 {
		return &brokenError{alertDecodeError, "malformed KeyUpdate"}
	}
	if len(r.message) > 0 {
		return &brokenError{alertUnexpectedMessage, "KeyUpdate is not at the end of its record"}
	}
	r.ticket = nil
	if err := r.in.update(r.suite); err != nil {
		return err
	}
	if body[0] == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.own) > 0 {
		return nil // one answer, which is not sent yet, does for many
	}
	var err error
	r.own, err = r.rekey(r.own)
	return err
}

// rekey appends a KeyUpdate to dst and takes our next keys. It is called with mu
// held.
func (r *records) rekey(dst []byte) ([]byte, error) {
	dst = r.sealRecord(dst, typeHandshake, []byte{messageKeyUpdate, 0, 0, 1, 0})
	return dst, r.out.update(r.suite)
}

// broken makes the alert for err, if there is one for it.
func (r *records) broken(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	r.drop()
	alert := byte(alertInternalError)
	if because := (*brokenError)(nil); errors.As(err, &because) {
		alert = because.alert
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	const fatal = 2
	r.own = r.sealRecord(r.own, typeAlert, []byte{fatal, alert})
	return err
}

// output appends what is to be sent before anything else to dst.
func (r *records) output(dst []byte) []byte {
	dst = append(dst, r.own...)
	r.own = nil
	return dst
}

// seal appends the records of b, as large as they may be, to dst.
func (r *records) seal(dst, b []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	dst = r.output(dst)
	for len(b) > 0 {
		if r.out.seq >= recordsPerKey {
			var err error
			if dst, err = r.rekey(dst); err != nil {
				return dst // the key is spent: the peer waits in vain, and nothing is betrayed
			}
		}
		n := min(len(b), plainMax)
		dst = r.sealRecord(dst, typeApplication, b[:n])
		b = b[n:]
	}
	return dst
}

// finish appends a close_notify.
func (r *records) finish(dst []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	const warning = 1
	return r.sealRecord(r.output(dst), typeAlert, []byte{warning, alertCloseNotify})
}

// sealRecord appends one record to dst. It is called with mu held.
func (r *records) sealRecord(dst []byte, kind byte, b []byte) []byte {
	n := len(b) + 1 + tagBytes
	start := len(dst)
	dst = append(dst, typeApplication, 3, 3, byte(n>>8), byte(n))
	dst = append(dst, b...)
	dst = append(dst, kind)
	body := start + headerBytes
	dst = r.out.aead.Seal(dst[:body], r.out.nonce(), dst[body:], dst[start:body])
	r.out.seq++
	return dst
}
