package h2

import "time"

const (
	// streamsMax is how many requests of a client may be under way on one connection.
	streamsMax = 128

	// streamWindow is how many bytes of a request may wait for the proxy (RFC 9113
	// section 5.2), and connectionWindow those of all requests of a connection: large
	// enough that one which nobody reads does not hold up the others.
	streamWindow     = 64 << 10
	connectionWindow = streamsMax * streamWindow

	// frameMax is the largest frame that is taken (section 4.2): the least that must be.
	frameMax = 16 << 10

	// idleTime is for how long a connection may have no request under way.
	idleTime = 60 * time.Second

	// cutGrace is how long a connection that is cut may take to bring its last bytes out.
	cutGrace = 2 * time.Second

	// readBytes is what is taken at a time from the proxy, and from a client that
	// sends more than sipBytes at once: what waits for a quiet client is that small.
	readBytes = 16 << 10
	sipBytes  = 512
)
