package configs

import "time"

// Bounds of the file itself.
const (
	fileBytesMax = 1 << 20 // a configuration file larger than this is refused unread
	depthMax     = 32      // nested lists and mappings; the schema needs 5
	keyBytesMax  = 128     // longest key that is looked up and suggested for

	listenersMax = 256
	routesMax    = 4096
	upstreamsMax = 4096
	serversMax   = 256  // per upstream
	hostsMax     = 1024 // per route
	originsMax   = 1024 // per route
	headersMax   = 32   // conditions of a route, and fields it sets or removes
	protocolsMax = 8    // in upgrade
	networksMax  = 1024
)

// Bounds of values.
const (
	loopsMax       = 1024
	tunnelsMax     = 1 << 24 // the slot part of a tunnel's number
	handshakesMax  = 1 << 20 // per second
	pipesMax       = 1 << 20
	headBytesMin   = 256 // the shortest useful upgrade request has about 150 bytes
	headBytesMax   = 1 << 20
	parkedBytesMin = 4 << 10
	parkedBytesMax = 1 << 30 // stands for "no limit"

	durationMax    = 10 * 365 * 24 * time.Hour
	keepaliveMax   = 32767 * time.Second        // MAX_TCP_KEEPIDLE in the kernel
	userTimeoutMax = 1<<31*time.Millisecond - 1 // TCP_USER_TIMEOUT is an int of milliseconds

	pingIntervalMin = 10 * time.Millisecond // less is a flood, not a check

	pathBytesMax       = 2048 // also of a query
	regexBytesMax      = 4096
	nameBytesMax       = 128  // of a header; no registered one has 50
	headerBytesMax     = 4096 // of a header's value
	protocolBytesMax   = 64   // of a protocol in upgrade
	socketPathBytesMax = 107  // sun_path holds 108 bytes with the final NUL
	hostBytesMax       = 253  // RFC 1035 section 2.3.4, without the final dot
	tokenBytesMax      = 4096
)
