package proxy

import "time"

const (
	// descriptorReserve is kept for what is not a tunnel: the log, the admin
	// interface, the resolver, files read at start.
	descriptorReserve = 24

	// descriptorsPerTunnel are the client's and the backend's.
	descriptorsPerTunnel = 2

	// dialAttemptsMax bounds the addresses tried for one request, over all
	// servers of its upstream. Beyond it, each further server that the upstream's
	// retries allow is tried at one address.
	dialAttemptsMax = 16

	// trafficTick is how often a worker counts the traffic of a part of its
	// tunnels, for upstreams that balance by it; trafficParts ticks are a round.
	// trafficUnit is what is counted in.
	trafficTick  = 250 * time.Millisecond
	trafficParts = 4
	trafficUnit  = 256

	// queuePause is how long a dial waits before it tries the full queue of a
	// unix socket again, within its dial time.
	queuePause = 20 * time.Millisecond

	// interimMax bounds the 1xx answers a backend may send before the final one.
	interimMax = 8

	// lingerTimeout and lingerBytesMax bound how long and how much a connection
	// that was answered may still send before it is closed.
	lingerTimeout  = 2 * time.Second
	lingerBytesMax = 64 << 10

	// guardAfter is how long a tunnel lasts before the kernel is asked to watch
	// over its backend (tcp.keepalive, tcp.user_timeout).
	guardAfter = 5 * time.Second

	// partingsMax bounds how often lingerTimeout is granted again to a side that
	// still takes what was sent before it was told to end: 30 s together.
	partingsMax = 15

	// frameSpliceMin is how much of a frame must be left for splicing it: the way
	// into the splice lane and back costs about as much as copying so much.
	frameSpliceMin = 256 << 10

	// blindAfter is how much must be copied in reads of at least blindReadBytes
	// before a direction is spliced without following its frames; each smaller
	// read takes blindPenalty off.
	blindAfter     = 16 << 20
	blindReadBytes = 16 << 10
	blindPenalty   = 64 << 10

	// busyTime is for how long a loop counts as busy with open tunnels behind what came
	// in one of them.
	busyTime = 100 * time.Millisecond

	// syncBufferBytes is the most that a goroutine of a tunnel in synchronous
	// service reads at once.
	syncBufferBytes = 32 << 10

	// callBacksAtOnce is how many tunnels are called back from their goroutines
	// when a connection waits for descriptors.
	callBacksAtOnce = 16

	// slowAfter is how long a goroutine waits for its sink before it leaves that
	// to the loop.
	slowAfter = time.Second

	// pongsParkedMax is how much may be parked for a client before its pings are
	// not all answered: from then on only the latest is, as RFC 6455 section 5.5.3
	// allows.
	pongsParkedMax = 4 << 10

	// inflatePieceBytes is how much of compressed messages is expanded at once, and
	// inflateTurnBytes how much in a turn, which takes half a millisecond. As so many
	// bytes count the codes that a block brings along, and a call by itself.
	inflatePieceBytes = 32 << 10
	inflateTurnBytes  = 256 << 10
	inflateTableCost  = 2 << 10
	inflateCallCost   = 128

	// inflationsKeptMax is how many inflations of 41 KiB a worker keeps for reuse,
	// and piecesKeptMax how many pieces, of which a send may hold one of each tunnel
	// until the next tick.
	inflationsKeptMax = 8
	piecesKeptMax     = 32

	// compressMin is the shortest message that is compressed. Of 128 bytes of JSON,
	// 80 are left, of 64 more than 54, and the time is nearly the same.
	compressMin = 128

	// pingRetry is how long a ping of ours waits for a frame to end.
	pingRetry = 250 * time.Millisecond

	// acceptPause is how long a loop that is out of descriptors waits before it
	// looks at its queues again, unless one of its tunnels ends before; each
	// time in vain doubles it up to acceptPauseMax.
	acceptPause    = 50 * time.Millisecond
	acceptPauseMax = time.Second

	// silenceAtStop is how long a connection that has sent nothing yet is kept
	// when the server stops.
	silenceAtStop = time.Second

	// backlog is how many connections may wait to be accepted, per listening
	// socket; the kernel caps it at net.core.somaxconn.
	backlog = 4096

	// tunnelsPerChunk is how many tunnels a worker allocates at once: as many as
	// fit into 32 KiB, the largest size that Go's allocator does not round up to
	// whole pages.
	tunnelsPerChunk = 56

	// exchangesKeptMax is how many buffers for handshakes a worker keeps for
	// reuse, and exchangeBytesKept the largest it keeps.
	exchangesKeptMax  = 64
	exchangeBytesKept = 16 << 10

	// journalLinesMax is how many log lines of one loop may wait for the writer;
	// further ones are counted and dropped.
	journalLinesMax = 4096

	// journalFlushMax bounds the wait for a blocked log at the end.
	journalFlushMax = time.Second

	// gatewayEndMax bounds the wait for goroutines that have nothing left to do.
	gatewayEndMax = time.Second

	// statsTimeout bounds how long a reader waits for a busy loop's counters.
	statsTimeout = 2 * time.Second
)
