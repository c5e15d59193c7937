package frame

import (
	"encoding/binary"
	"math/bits"
)

// unmask takes the masking key off b, or puts it on (RFC 6455 section 5.3): key
// is that of the first byte, little endian. It returns the key of the byte behind
// b, so that the next piece of the payload can follow.
//
// 32 bytes at a step take half the time that ws.Cipher of gobwas/ws takes
// (BenchmarkUnmask).
func unmask(b []byte, key uint32) (next uint32) {
	next = bits.RotateLeft32(key, -8*(len(b)%keyBytes))
	key8 := uint64(key)<<32 | uint64(key)
	for len(b) >= 32 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key8)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^key8)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^key8)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^key8)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key8)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key8 >> (8 * i))
	}
	return next
}
