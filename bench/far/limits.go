package far

const (
	// underWayMax bounds the packets under way; further ones wait in the device's
	// own queue, and are dropped behind that.
	underWayMax = 4096

	// packetBytesMax is more than the MTU of the device, 1,500 bytes.
	packetBytesMax = 2048

	// headerBytesMin is the shortest header of an IPv4 packet (RFC 791 section
	// 3.1).
	headerBytesMin = 20
)
