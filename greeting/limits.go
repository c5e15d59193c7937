package greeting

const (
	// v1BytesMax is the longest line of version 1, with its CRLF
	// (proxy-protocol.txt section 2.1).
	v1BytesMax = 107

	// v2AddressBytesMax is the largest address block of version 2: two unix
	// paths of 108 bytes.
	v2AddressBytesMax = 216

	// v2ExtensionBytesMax bounds the TLV fields behind the addresses. They are
	// skipped; the largest in use is a client certificate.
	v2ExtensionBytesMax = 2 << 10

	// HeaderBytesMax is the length of the longest header that is accepted.
	HeaderBytesMax = v2FixedBytes + v2AddressBytesMax + v2ExtensionBytesMax
)
