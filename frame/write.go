package frame

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Codes that gobwas/ws does not name, from the registry that RFC 6455 section
// 11.7 sets up.
const (
	StatusServiceRestart ws.StatusCode = 1012
	StatusTryAgainLater  ws.StatusCode = 1013
	StatusBadGateway     ws.StatusCode = 1014
)

// MayWrite reports whether a Close frame may carry code: those that RFC 6455
// section 7.4.1 or its registry define for the wire, and 3000 to 4999. 1005,
// 1006 and 1015 only exist inside of programs.
func MayWrite(code ws.StatusCode) bool {
	switch {
	case code >= StatusServiceRestart && code <= StatusBadGateway:
		return true
	case code.IsProtocolSpec():
		return code.IsProtocolDefined() && !code.IsProtocolReserved()
	}
	return code.IsApplicationSpec() || code.IsPrivateSpec()
}

// AppendClose appends a Close frame to dst and returns the extended slice: at
// most 131 bytes more. A reason of more than 123 bytes is cut, never within a
// character; what is not UTF-8 in it is replaced. Frames to a backend are to be
// masked, those to a client not (RFC 6455 section 5.1). It panics where code
// must not be written (MayWrite).
func AppendClose(dst []byte, code ws.StatusCode, reason string, masked bool) []byte {
	if !MayWrite(code) {
		panic(fmt.Sprintf("frame: close code %d must not be written", code))
	}
	reason = cut(strings.ToValidUTF8(reason, string(utf8.RuneError)))
	dst, key := appendHeader(dst, ws.OpClose, 2+len(reason), masked)
	payload := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	dst = append(dst, reason...)
	ws.Cipher(dst[payload:], key, 0)
	return dst
}

// AppendEmptyClose appends a Close frame without a code, for a client. It is how
// one without a code is answered.
func AppendEmptyClose(dst []byte) []byte { return append(dst, finBit|byte(ws.OpClose), 0) }

// AppendPong appends a Pong frame for a client to dst and returns the extended
// slice: at most 127 bytes more. payload is that of the ping it answers, at most
// 125 bytes.
func AppendPong(dst, payload []byte) []byte {
	if len(payload) > controlBytesMax {
		panic(fmt.Sprintf("frame: a pong of %d bytes (max %d)", len(payload), controlBytesMax))
	}
	return append(append(dst, finBit|byte(ws.OpPong), byte(len(payload))), payload...)
}

// cut returns as much of reason, which is UTF-8, as fits a Close frame.
func cut(reason string) string {
	if len(reason) <= reasonBytesMax {
		return reason
	}
	end := reasonBytesMax
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// AppendPing appends a Ping frame to dst and returns the extended slice: at
// most 14 bytes more. Its payload is own, 8 bytes big endian, which is what
// Scanner.Expect looks for in the pongs.
func AppendPing(dst []byte, own uint64, masked bool) []byte {
	dst, key := appendHeader(dst, ws.OpPing, ownPayloadBytes, masked)
	payload := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, own)
	ws.Cipher(dst[payload:], key, 0)
	return dst
}

// appendHeader appends the header of a control frame, and returns the key
// that the payload is to be masked with: zeros where it is not.
func appendHeader(dst []byte, opcode ws.OpCode, length int, masked bool) (out []byte, key [keyBytes]byte) {
	dst = append(dst, finBit|byte(opcode), byte(length))
	if !masked {
		return dst, key
	}
	// A key must not be predictable (RFC 6455 section 10.3). Read never fails.
	_, _ = rand.Read(key[:])
	dst[len(dst)-1] |= maskBit
	return append(dst, key[:]...), key
}
