package rig

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A Pattern is an endless stream of bytes that differs from every other one
// everywhere. Each byte follows from its offset, so that a receiver can tell
// a byte of another stream, a lost one and a repeated one where it stands.
type Pattern uint64

// patternChunk is how much of a pattern is sent and compared at once.
const patternChunk = 64 << 10

// word returns the eight bytes at offset 8*i (splitmix64 of seed and i).
func (p Pattern) word(i uint64) uint64 {
	x := uint64(p)*0x9e3779b97f4a7c15 + i*0xd1342543de82ef95 + 1
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Fill writes the bytes from offset on into dst.
func (p Pattern) Fill(dst []byte, offset int64) {
	var w [8]byte
	i := uint64(offset) / 8
	if skip := int(offset % 8); skip != 0 {
		binary.LittleEndian.PutUint64(w[:], p.word(i))
		dst = dst[copy(dst, w[skip:]):]
		i++
	}
	for ; len(dst) >= 8; i++ {
		binary.LittleEndian.PutUint64(dst, p.word(i))
		dst = dst[8:]
	}
	binary.LittleEndian.PutUint64(w[:], p.word(i))
	copy(dst, w[:])
}

// A filler is a stream whose bytes follow from their offsets.
type filler interface {
	Fill(dst []byte, offset int64)
}

// Check returns an error that says where got is not the stream from offset.
func (p Pattern) Check(got []byte, offset int64) error {
	_, err := check(p, got, offset)
	return err
}

// check returns how many bytes of got are those of the stream from offset on,
// and an error unless all are.
func check(f filler, got []byte, offset int64) (right int, err error) {
	want := make([]byte, len(got))
	f.Fill(want, offset)
	if bytes.Equal(got, want) {
		return len(got), nil
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	return i, fmt.Errorf("stream %v differs at byte %d: got %x, want %x",
		f, offset+int64(i), got[i:min(i+16, len(got))], want[i:min(i+16, len(got))])
}

// ErrForeign marks bytes that are not those of the expected stream.
var ErrForeign = errors.New("foreign byte")

// Send writes n bytes of the stream from offset on. moved, which may be nil,
// is advanced as they go. There is no deadline: the caller may stop reading.
func (p Pattern) Send(w io.Writer, offset, n int64, moved *atomic.Int64) error {
	return send(p, w, offset, n, moved)
}

func send(f filler, w io.Writer, offset, n int64, moved *atomic.Int64) error {
	buf := make([]byte, patternChunk)
	for n > 0 {
		piece := buf[:min(n, int64(len(buf)))]
		f.Fill(piece, offset)
		k, err := w.Write(piece)
		offset, n = offset+int64(k), n-int64(k)
		if moved != nil {
			moved.Add(int64(k))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Receive reads n bytes and compares them with the stream from offset on. No
// single read may take longer than Soon.
func (p Pattern) Receive(r net.Conn, offset, n int64) error {
	got, err := p.ReceiveUpTo(r, offset, n)
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", got, n, err)
	}
	return nil
}

// ReceiveUpTo is Receive for streams that may end early: it returns how many
// bytes were right, and ErrForeign when one was wrong.
func (p Pattern) ReceiveUpTo(r net.Conn, offset, n int64) (int64, error) {
	return receiveUpTo(r, offset, n, func(b []byte, at int64) (int, error) { return check(p, b, at) })
}

// receiveUpTo reads until n bytes are right. judge is shown what came and its
// offset, and returns how much of it is right.
func receiveUpTo(
	r net.Conn, offset, n int64, judge func(b []byte, at int64) (right int, bad error),
) (int64, error) {
	buf := make([]byte, patternChunk)
	var got int64
	for got < n {
		_ = r.SetReadDeadline(time.Now().Add(Soon))
		k, err := r.Read(buf[:min(n-got, int64(len(buf)))])
		right, bad := judge(buf[:k], offset+got)
		if bad != nil {
			return got, fmt.Errorf("%w: %w", ErrForeign, bad)
		}
		got += int64(right)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
	return got, nil
}
