package configs

import "time"

// Bounds of the file itself.
const (
	fileBytesMax = 1 << 20 // a configuration file larger than this is refused unread
	depthMax     = 32      // nested lists and mappings; the schema needs 5
	keyBytesMax  = 128     // longest key that is looked up and suggested for

	listenersMax = 256

	certificatesMax = 256 // per listener
	routesMax       = 4096
	upstreamsMax    = 4096
	serversMax      = 256  // per upstream
	sourcesMax      = 64   // of an upstream
	hostsMax        = 1024 // per route
	originsMax      = 1024 // per route
	headersMax      = 32   // conditions of a route, and fields it sets or removes
	protocolsMax    = 8    // in upgrade

	subprotocolsMax = 32 // per route
	networksMax     = 1024
	argumentsMax    = 256 // of a command
	variablesMax    = 256 // set or copied for a command
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

	resolveIntervalMin = time.Second // less asks the same of the same server again
	slowStartMax       = 24 * time.Hour
	weightMax          = 100
	setMax             = 99
	retriesMax         = serversMax - 1
	warmMax            = 1024                  // connections per server
	healthIntervalMin  = 10 * time.Millisecond // less is a load, not a check
	healthStreakMax    = 1000                  // rise and fall

	pingIntervalMin = 10 * time.Millisecond // less is a flood, not a check

	pathBytesMax        = 2048 // also of a query
	regexBytesMax       = 4096
	nameBytesMax        = 128  // of a header; no registered one has 50
	headerBytesMax      = 4096 // of a header's value
	protocolBytesMax    = 64   // of a protocol in upgrade
	serverRouteBytesMax = 95   // Apache httpd's limit for a route
	subprotocolBytesMax = 128
	messageBytesMax     = 1 << 40 // of an endpoint's client
	socketPathBytesMax  = 107     // sun_path holds 108 bytes with the final NUL
	hostBytesMax        = 253     // RFC 1035 section 2.3.4, without the final dot
	tokenBytesMax       = 4096
	variableBytesMax    = 16 << 10 // value of a variable, and argument of a command

	loadMax    = 1 << 24   // tunnels of a process, like tunnelsMax
	backlogMax = 1<<16 - 1 // what older kernels can hold; net.core.somaxconn caps it further
)
