package deflate

// An entry of a table says what a code stands for:
//
//	bits 0-4    bits of the code, those of the root included
//	bits 5-8    bits that follow it; or of the look into a second table
//	bits 9-11   what it is, below
//	bits 16-31  the literal; the least length or distance; where the second table is
type entry uint32

const (
	entryLiteral entry = 1 << 9
	entryEnd     entry = 1 << 10 // of the block
	entryInvalid entry = 1 << 11
	entrySecond  entry = entryEnd | entryInvalid // a second table

	entrySpecial = entryEnd | entryInvalid

	codeBits   = 0x1f
	extraShift = 5
	extraBits  = 0xf
	valueShift = 16
)

// place returns where the second table has what these bits begin with.
func (e entry) place(bits uint64) uint64 {
	return uint64(e>>valueShift) + bits&(1<<(e>>extraShift&extraBits)-1)
}

// What the symbols stand for, their codes apart (RFC 1951 section 3.2.5).
var (
	literalKinds  = makeLiteralKinds()
	distanceKinds = makeDistanceKinds()
	orderKinds    = makeOrderKinds()
)

func makeLiteralKinds() (kinds [fixedSymbols]entry) {
	for i := range 256 {
		kinds[i] = entryLiteral | entry(i)<<valueShift
	}
	kinds[256] = entryEnd
	length := entry(3)
	for i := 257; i < literalsMax-1; i++ {
		extra := entry(max(0, (i-261)/4))
		kinds[i] = length<<valueShift | extra<<extraShift
		length += 1 << extra
	}
	kinds[literalsMax-1] = matchBytesMax << valueShift
	for i := literalsMax; i < fixedSymbols; i++ {
		kinds[i] = entryInvalid
	}
	return kinds
}

func makeDistanceKinds() (kinds [fixedPlaces]entry) {
	distance := entry(1)
	for i := range distancesMax {
		extra := entry(max(0, (i-2)/2))
		kinds[i] = distance<<valueShift | extra<<extraShift
		distance += 1 << extra
	}
	for i := distancesMax; i < fixedPlaces; i++ {
		kinds[i] = entryInvalid
	}
	return kinds
}

func makeOrderKinds() (kinds [orderBytes]entry) {
	for i := range kinds {
		kinds[i] = entry(i) << valueShift
	}
	return kinds
}

// Tables of the two codes that a block without codes of its own uses (RFC 1951
// section 3.2.6).
var fixedLiterals, fixedDistances = makeFixed()

func makeFixed() (literals [literalPlaces]entry, distances [distancePlaces]entry) {
	var lengths [fixedSymbols]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	var places [fixedPlaces]uint8
	for i := range places {
		places[i] = 5
	}
	if !build(literals[:], literalRoot, lengths[:], literalKinds[:]) ||
		!build(distances[:], distanceRoot, places[:], distanceKinds[:]) {
		panic("deflate: the fixed codes are no codes")
	}
	return literals, distances
}

// build fills a table with the code that has these lengths (RFC 1951 section
// 3.2.2): places for the first root bits, and behind them second tables for the
// codes that are longer. It reports whether there is such a code: one that uses
// every combination of bits, or one that has a single symbol of one bit, or none.
func build(table []entry, root uint, lengths []uint8, kinds []entry) bool {
	var count, starts [codeBitsMax + 1]uint16
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	longest, left := uint(0), 1
	for n := uint(1); n <= codeBitsMax; n++ {
		if left = left<<1 - int(count[n]); left < 0 {
			return false
		}
		if count[n] > 0 {
			longest = n
		}
		starts[n] = starts[n-1] + count[n-1]
	}
	if left > 0 {
		if longest > 1 {
			return false
		}
		for i := range table[:1<<root] {
			table[i] = entryInvalid | 1
		}
	}
	var sorted [fixedSymbols]uint16
	used := 0
	for i, n := range lengths {
		if n > 0 {
			sorted[starts[n]] = uint16(i)
			starts[n]++
			used++
		}
	}
	fill(table, root, longest, sorted[:used], lengths, &count, kinds)
	return true
}

// fill enters the symbols, sorted by length. A code comes with its first bit
// lowest, so code is counted up from its highest bit.
func fill(table []entry, root, longest uint, sorted []uint16, lengths []uint8, left *[codeBitsMax + 1]uint16, kinds []entry) {
	code, prefix := uint(0), uint(1)<<root
	second, secondBits, free := uint(0), uint(0), uint(1)<<root
	for _, symbol := range sorted {
		n := uint(lengths[symbol])
		e := kinds[symbol] | entry(n)
		if n <= root {
			for at := code; at < 1<<root; at += 1 << n {
				table[at] = e
			}
		} else {
			if p := code & (1<<root - 1); p != prefix {
				prefix, second = p, free
				secondBits = secondTable(n-root, root, longest, left)
				free += 1 << secondBits
				table[prefix] = entrySecond | entry(second)<<valueShift | entry(secondBits)<<extraShift | entry(root)
			}
			for at := code >> root; at < 1<<secondBits; at += 1 << (n - root) {
				table[second+at] = e
			}
		}
		left[n]--
		bit := uint(1) << (n - 1)
		for code&bit != 0 {
			bit >>= 1
		}
		code &= bit - 1 // none left: the last code, and bit-1 is all ones
		code += bit
	}
}

// secondTable returns how many bits select in a second table whose first code has
// n bits beyond the root: as many as the codes need that share its prefix.
func secondTable(n, root, longest uint, left *[codeBitsMax + 1]uint16) uint {
	for room := 1 << n; n+root < longest; n++ {
		if room -= int(left[n+root]); room <= 0 {
			break
		}
		room <<= 1
	}
	return n
}
