package handshake

// Every table and loop in this room has its bound here. Sizes of whole heads
// are the caller's to bound (limits.head_bytes), since it owns the buffer.
const (
	// fieldsMax bounds the field lines of one head. Browsers send 12 to 20;
	// Apache's LimitRequestFields is 100.
	fieldsMax = 128

	// methodBytesMax bounds the method. The longest registered one is
	// UPDATEREDIRECTREF with 17 bytes.
	methodBytesMax = 32

	// hostBytesMax bounds a Host: 255 bytes of DNS name, brackets, port.
	hostBytesMax = 264

	// connectionTokensMax bounds the names a Connection field can nominate,
	// since each is compared with every field name of the head.
	connectionTokensMax = 32

	// protocolsMax bounds the protocols of an Upgrade field that are passed on;
	// nobody offers more than two.
	protocolsMax = 16

	// extensionsMax bounds the extensions a backend may choose; more than two
	// have never been registered.
	extensionsMax = 8

	// chunkLineBytesMax bounds a chunk-size line with its extensions
	// (RFC 9112 section 7.1.1 asks for a limit; net/http's is 4096).
	chunkLineBytesMax = 1024

	// chunkDigitsMax bounds the digits of a chunk size, so that it stays
	// below 2^60 and can be added to without a thought of overflow.
	chunkDigitsMax = 15

	// chunkExcessBytesMax bounds what chunk framing may cost beyond 16 bytes
	// a chunk and twice its data, as net/http does: a body of nothing but
	// extensions is an attack.
	chunkExcessBytesMax = 16 << 10

	// trailerBytesMax bounds a trailer section, its final CRLF included.
	// net/http refuses those that do not fit its 4096-byte buffer.
	trailerBytesMax = 2048

	// verifyBufferBytes is the size of the pooled buffer gobwas/ws reads a
	// head through; a single line longer than it costs an allocation.
	verifyBufferBytes = 16 << 10
)
