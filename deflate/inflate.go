package deflate

import "encoding/binary"

// A Status says why Inflate has returned.
type Status uint8

const (
	// Hungry means that all of src was taken, and the message goes on.
	Hungry Status = iota
	// Full means that there is more to come: Inflate is to be called again, with
	// room, and with what is left of src, be it nothing.
	Full
	// Done means that the message is over. Inflate may begin another one.
	Done
	// Broken means that this is no compressed message. Only Reset may follow.
	Broken
)

type state uint8

// The state of an Inflater between two calls, and where it may go:
//
//	state    may go to            true while in it
//	between  size counts symbols  a block has ended, or none has begun
//	size     stored               the length of a stored block is due
//	stored   between              bytes of a stored block are due
//	counts   order                the numbers of codes are due
//	order    codes                lengths of the code of lengths are due
//	codes    symbols              lengths of the codes are due
//	symbols  between              symbols are due
//
// Each step is taken when all its bits are there and not before, so that nothing
// but the state and fewer than 64 bits has to be kept between two pieces.
const (
	between state = iota
	size
	stored
	counts
	order
	codes
	symbols
)

// An Inflater expands the compressed payload of one message after the other (RFC
// 7692 section 7.2.2), whose senders keep no context between them. The zero value
// is ready. It has about 41 KiB.
//
// Unlike compress/flate and its kin it takes input in any pieces, where those
// want a reader that waits. It bounds the work of each call, and goes on behind a
// block that says to be the last one, as RFC 7692 section 7.2.1 has it.
type Inflater struct {
	// Bits that were taken from the input and are not used up.
	bits  uint64
	count uint

	state state
	final bool  // the block in progress says that it is the last one
	tail  uint8 // bytes that were added to the end
	left  int   // bytes of a stored block that are due
	built int   // tables of blocks, in this call

	// The codes of the block in progress.
	literals  *[literalPlaces]entry
	distances *[distancePlaces]entry

	// While they are read: how many lengths there are, and how many have come.
	literalCount, distanceCount, orderCount, have int
	lengths                                       [literalsMax + distancesMax]uint8

	ownLiterals  [literalPlaces]entry
	ownDistances [distancePlaces]entry
	ownOrder     [orderPlaces]entry

	// A ring of what was made before: reach bytes that end before at.
	at, reach int
	window    [windowBytes]byte
}

// Reset makes z ready for another message, whatever it was in before.
func (z *Inflater) Reset() {
	z.bits, z.count, z.state, z.tail, z.at, z.reach = 0, 0, between, 0, 0, 0
}

// Inflate expands src, which follows what it was shown before, into dst, and
// returns how many bytes it made and took. last says that the message ends with
// src. dst has at least RoomBytesMin bytes; what is in it afterwards is the
// caller's.
//
// One call takes no longer than filling dst, passing over src and building the
// tables of 64 blocks do.
func (z *Inflater) Inflate(dst, src []byte, last bool) (made, taken int, status Status) {
	c := call{dst: dst, src: src}
	z.built = 0
	if status = z.run(&c); status == Hungry && last {
		status = z.finish(&c)
	}
	switch status {
	case Done:
		z.Reset()
	case Hungry, Full:
		z.remember(dst[:c.made])
	}
	return c.made, c.taken, status
}

// Built returns how many blocks with codes of their own the last call of Inflate has
// begun. Each costs as much time as 2 KiB of text do, whatever is in it.
func (z *Inflater) Built() int { return z.built }

// finish expands what the sender has taken off the end: of a block without bytes,
// all but the first one (RFC 7692 section 7.2.2). Where a message ends with a block
// instead, as zlib takes it too, nothing is missed.
func (z *Inflater) finish(c *call) Status {
	if z.tail == 0 && z.state == between && z.count == 0 {
		return Done
	}
	rest := call{dst: c.dst, src: syncTail[z.tail:], made: c.made}
	status := z.run(&rest)
	z.tail += uint8(rest.taken)
	if status == Hungry {
		status = Broken
		if z.state == between && z.count == 0 {
			status = Done
		}
	}
	if status != Broken { // else these bytes made something that was not sent
		c.made = rest.made
	}
	return status
}

// A call is what one Inflate works on.
type call struct {
	dst, src    []byte
	made, taken int
}

func (z *Inflater) run(c *call) Status {
	for begun := 0; ; {
		status := Hungry
		switch z.state {
		case between:
			if begun == blocksPerCallMax {
				return Full
			}
			begun++
			status = z.begin(c)
		case size:
			status = z.readSize(c)
		case stored:
			status = z.copyStored(c)
		case counts:
			status = z.readCounts(c)
		case order:
			status = z.readOrder(c)
		case codes:
			status = z.readCodes(c)
		case symbols:
			status = z.readSymbols(c)
		}
		if status != Done {
			return status
		}
	}
}

// need reports whether n bits, at most 32, are there.
func (z *Inflater) need(c *call, n uint) bool {
	for z.count < n {
		if c.taken == len(c.src) {
			return false
		}
		z.bits |= uint64(c.src[c.taken]) << z.count
		c.taken++
		z.count += 8
	}
	return true
}

// take takes n bits that are there.
func (z *Inflater) take(n uint) int {
	b := z.bits & (1<<n - 1)
	z.bits >>= n
	z.count -= n
	return int(b)
}

// begin reads the header of a block (RFC 1951 section 3.2.3).
func (z *Inflater) begin(c *call) Status {
	if !z.need(c, 3) {
		return Hungry
	}
	z.final = z.take(1) == 1
	switch z.take(2) {
	case 0:
		z.take(z.count % 8)
		z.state = size
	case 1:
		z.literals, z.distances = &fixedLiterals, &fixedDistances
		z.state = symbols
	case 2:
		z.state = counts
	default:
		return Broken
	}
	return Done
}

// end goes on behind a block. Behind one that says to be the last, the next one
// begins with a byte (RFC 7692 section 7.2.1).
func (z *Inflater) end() {
	z.state = between
	if z.final {
		z.take(z.count % 8)
	}
}

func (z *Inflater) readSize(c *call) Status {
	if !z.need(c, 32) {
		return Hungry
	}
	n, inverse := z.take(16), z.take(16)
	if n != inverse^0xffff {
		return Broken
	}
	z.left, z.state = n, stored
	return Done
}

func (z *Inflater) copyStored(c *call) Status {
	for z.left > 0 && z.count > 0 && c.made < len(c.dst) {
		c.dst[c.made] = byte(z.take(8))
		c.made++
		z.left--
	}
	if z.count == 0 {
		n := copy(c.dst[c.made:], c.src[c.taken:min(len(c.src), c.taken+z.left)])
		c.made += n
		c.taken += n
		z.left -= n
	}
	switch {
	case z.left == 0:
		z.end()
		return Done
	case c.made == len(c.dst):
		return Full
	}
	return Hungry
}

// readCounts reads how many codes a block has (RFC 1951 section 3.2.7).
func (z *Inflater) readCounts(c *call) Status {
	if !z.need(c, 14) {
		return Hungry
	}
	z.literalCount, z.distanceCount, z.orderCount = z.take(5)+257, z.take(5)+1, z.take(4)+4
	if z.literalCount > literalsMax || z.distanceCount > distancesMax {
		return Broken
	}
	z.have, z.state = 0, order
	clear(z.lengths[:orderBytes])
	return Done
}

// orderOf is in which order the lengths of the code of lengths come.
var orderOf = [orderBytes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *Inflater) readOrder(c *call) Status {
	for ; z.have < z.orderCount; z.have++ {
		if !z.need(c, 3) {
			return Hungry
		}
		z.lengths[orderOf[z.have]] = uint8(z.take(3))
	}
	if !build(z.ownOrder[:], orderRoot, z.lengths[:orderBytes], orderKinds[:]) {
		return Broken
	}
	z.have, z.state = 0, codes
	return Done
}

// readCodes reads the lengths of both codes, which are one sequence, and builds
// the tables.
func (z *Inflater) readCodes(c *call) Status {
	all := z.literalCount + z.distanceCount
	for z.have < all {
		z.need(c, orderRoot+7)
		e := z.ownOrder[z.bits&(1<<orderRoot-1)]
		n, extra, least, value := uint(e&codeBits), uint(0), 1, uint8(e>>valueShift)
		switch e >> valueShift {
		case 16:
			extra, least = 2, 3
		case 17:
			extra, least, value = 3, 3, 0
		case 18:
			extra, least, value = 7, 11, 0
		}
		switch {
		case z.count < n+extra:
			return Hungry
		case e&entryInvalid != 0, e>>valueShift == 16 && z.have == 0:
			return Broken
		case e>>valueShift == 16:
			value = z.lengths[z.have-1]
		}
		z.take(n)
		times := least + z.take(extra)
		if z.have+times > all {
			return Broken
		}
		for range times {
			z.lengths[z.have] = value
			z.have++
		}
	}
	if !build(z.ownLiterals[:], literalRoot, z.lengths[:z.literalCount], literalKinds[:]) ||
		!build(z.ownDistances[:], distanceRoot, z.lengths[z.literalCount:all], distanceKinds[:]) {
		return Broken
	}
	z.literals, z.distances, z.state = &z.ownLiterals, &z.ownDistances, symbols
	z.built++
	return Done
}

// readSymbols expands what is in a block. It looks at a symbol as a whole, bits
// and distance included: at the end of src it may have to leave one there.
func (z *Inflater) readSymbols(c *call) (status Status) {
	bits, count, literals, distances := z.bits, z.count, z.literals, z.distances
	dst, src, made, taken := c.dst, c.src, c.made, c.taken
loop:
	for {
		if count < symbolBitsMax {
			if len(src)-taken >= 8 {
				// What goes beyond count is or-ed again next time, to the same bits.
				bits |= binary.LittleEndian.Uint64(src[taken:]) << count
				taken += int((63 - count) >> 3)
				count |= 56
			} else {
				bits, count, taken = refill(bits, count, src, taken)
			}
		}
		if len(dst)-made < matchBytesMax {
			status = Full
			break
		}
		e := literals[bits&(1<<literalRoot-1)]
		if e&entrySecond == entrySecond {
			e = literals[e.place(bits>>literalRoot)]
		}
		n := uint(e & codeBits)
		switch {
		case n > count:
			status = Hungry
			break loop
		case e&entryLiteral != 0:
			dst[made] = byte(e >> valueShift)
			made++
			bits, count = bits>>n, count-n
			continue
		case e&entrySpecial != 0:
			bits, count = bits>>n, count-n
			status = Done
			if e&entryInvalid != 0 {
				status = Broken
			}
			break loop
		}
		extra := uint(e >> extraShift & extraBits)
		length := int(e>>valueShift) + int(bits>>n&(1<<extra-1))
		n += extra
		e = distances[bits>>n&(1<<distanceRoot-1)]
		if e&entrySecond == entrySecond {
			e = distances[e.place(bits>>(n+distanceRoot))]
		}
		n += uint(e & codeBits)
		extra = uint(e >> extraShift & extraBits)
		distance := int(e>>valueShift) + int(bits>>n&(1<<extra-1))
		if n += extra; n > count {
			status = Hungry
			break
		}
		if e&entrySpecial != 0 || distance > made+z.reach {
			status = Broken
			break
		}
		bits, count = bits>>n, count-n
		z.match(dst[:made+length], made, distance)
		made += length
	}
	z.bits, z.count = bits&(1<<count-1), count
	c.made, c.taken = made, taken
	if status == Done {
		z.end()
	}
	return status
}

// refill takes what may be the last bytes.
func refill(bits uint64, count uint, src []byte, taken int) (uint64, uint, int) {
	for ; count < symbolBitsMax && taken < len(src); count += 8 {
		bits |= uint64(src[taken]) << count
		taken++
	}
	return bits, count, taken
}

// match fills dst from made on with what is distance before: in dst, or in the
// window where dst does not go so far back.
func (z *Inflater) match(dst []byte, made, distance int) {
	for distance > made && made < len(dst) {
		from := (z.at - (distance - made)) & (windowBytes - 1)
		before := min(distance-made, windowBytes-from)
		made += copy(dst[made:], z.window[from:from+before])
	}
	if made == len(dst) {
		return
	}
	from := made - distance
	for made < len(dst) { // twice as far each time, where they overlap
		made += copy(dst[made:], dst[from:made])
	}
}

// remember keeps the end of what was made, for the matches of the next call.
func (z *Inflater) remember(made []byte) {
	z.reach = min(windowBytes, z.reach+len(made))
	if len(made) > windowBytes {
		made = made[len(made)-windowBytes:]
	}
	n := copy(z.window[z.at:], made)
	copy(z.window[:], made[n:])
	z.at = (z.at + len(made)) & (windowBytes - 1)
}
