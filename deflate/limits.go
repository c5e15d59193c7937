package deflate

const (
	// windowBytes is how far back a match may reach (RFC 1951 section 2).
	windowBytes = 32 << 10

	// matchBytesMax is the longest match (RFC 1951 section 3.2.5).
	matchBytesMax = 258

	// RoomBytesMin is the least room that Inflate needs to go on.
	RoomBytesMin = matchBytesMax

	// blocksPerCallMax bounds the blocks that one call of Inflate begins: a block
	// of 13 bytes that makes nothing costs two tables.
	blocksPerCallMax = 64

	// Sizes of the codes of a block (RFC 1951 sections 3.2.5 to 3.2.7). Those of
	// the fixed codes have symbols that no block may use.
	literalsMax  = 286
	distancesMax = 30
	fixedSymbols = 288
	fixedPlaces  = 32
	orderBytes   = 19

	// codeBitsMax is the longest code of a literal, length or distance.
	codeBitsMax = 15

	// symbolBitsMax is the most that a length and its distance take: two codes,
	// 5 and 13 further bits.
	symbolBitsMax = 2*codeBitsMax + 5 + 13

	// The bits that the first look into a table takes.
	literalRoot  = 9
	distanceRoot = 8
	orderRoot    = 7

	// The sizes of tables with those roots, for codes of so many symbols and at
	// most 15 bits: what zlib's examples/enough.c finds.
	literalPlaces  = 852
	distancePlaces = 402
	orderPlaces    = 1 << orderRoot
)
