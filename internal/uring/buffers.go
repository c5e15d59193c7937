package uring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"wsplice/internal/sys"
)

// Buffers is a group of equal buffers that the kernel takes from when it has
// received something (io_uring_register(2), IORING_REGISTER_PBUF_RING). What it
// took is named by an id in the completion; Return gives it back.
type Buffers struct {
	memory []byte // the ring of descriptions, then the buffers
	ring   []buf
	data   []byte
	size   int
	room   int // before each
	mask   uint16
	next   uint16 // position of the next description, published by Publish
}

const pageBytes = 4096

// Register makes a group of count buffers of size bytes each; count must be a
// power of two up to 32,768. Before each there are room bytes that the kernel
// does not know. The memory is touched, and so taken, only as far as buffers
// are used.
func (r *Ring) Register(group uint16, count, size, room int) (*Buffers, error) {
	head := (count*int(unsafe.Sizeof(buf{})) + pageBytes - 1) &^ (pageBytes - 1)
	memory, err := sys.Map(sys.NoFD, 0, head+count*(room+size))
	if err != nil {
		return nil, err
	}
	b := &Buffers{memory: memory, data: memory[head:], size: size, room: room, mask: uint16(count - 1)}
	b.ring = unsafe.Slice((*buf)(unsafe.Pointer(unsafe.SliceData(memory))), count)
	reg := bufReg{
		ringAddr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))), ringEntries: uint32(count), group: group,
	}
	if _, errno := r.fd.UringRegister(registerPBufRing, unsafe.Pointer(&reg), 1); errno != 0 {
		b.Free()
		return nil, fmt.Errorf("register buffers: %w", errno)
	}
	for id := range count {
		b.Return(uint16(id))
	}
	b.Publish()
	return b, nil
}

// Touch takes the memory now instead of when buffers are first used.
func (b *Buffers) Touch() {
	for at := 0; at < len(b.data); at += pageBytes {
		b.data[at] = 0
	}
}

// Free gives the memory back. The ring must be closed.
func (b *Buffers) Free() { sys.Unmap(b.memory) }

// Size returns how much one buffer holds.
func (b *Buffers) Size() int { return b.size }

// Total returns how much memory the group may take.
func (b *Buffers) Total() int { return len(b.memory) }

// Bytes returns the first n bytes of a buffer that a completion named.
func (b *Buffers) Bytes(id uint16, n int) []byte {
	begin := b.begin(id)
	return b.data[begin : begin+n : begin+n]
}

// begin returns where a buffer begins in data.
func (b *Buffers) begin(id uint16) int { return int(id)*(b.room+b.size) + b.room }

// Return gives a buffer back to the kernel, with the next Publish.
func (b *Buffers) Return(id uint16) {
	at := &b.ring[b.next&b.mask]
	at.addr = uint64(uintptr(unsafe.Pointer(&b.data[b.begin(id)])))
	at.len, at.id = uint32(b.size), id
	b.next++
}

// Publish makes the returned buffers usable. The tail lies in the first
// description, beside fields that only change before it does.
func (b *Buffers) Publish() {
	// 16-bit stores are not in sync/atomic. The tail is the upper half of a
	// 32-bit word on little-endian machines, whose lower half is the id of the
	// first description, written by nobody else.
	first := &b.ring[0]
	word := uint32(first.id) | uint32(b.next)<<16
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.id)), word)
}
