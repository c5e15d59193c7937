package loop

import "time"

// LendMax is the most bytes that one completion lends: one recv(2).
const LendMax = 64 << 10

// Headroom is how many bytes of a loan lie before the received ones. A header
// that is written there goes out with them in one send. A cache line keeps the
// received bytes aligned.
const Headroom = 64

const (
	// scratchBytes is the size of the buffer a loop lends with received bytes:
	// one recv(2) takes at most this much.
	scratchBytes = LendMax

	// recvsPerTurnMax is how many reads one socket may make before the others
	// of its loop get their turn: with scratchBytes, 256 KiB.
	recvsPerTurnMax = 4

	// acceptsPerTurnMax is how many connections one listener may take before
	// the sockets of its loop get their turn.
	acceptsPerTurnMax = 64

	// eventsPerTickMax is how many sockets one wait reports.
	eventsPerTickMax = 256

	// rawWaitMax is how long a loop waits without telling the Go scheduler.
	// A loop that is locked to its thread never reschedules, so the runtime's
	// monitor sees a P stuck in a system call, takes it away and then polls
	// every 20 µs; an untold wait avoids that while traffic flows (a quarter of
	// the CPU at 10,000 messages/s). Longer, and a stop-the-world would wait.
	rawWaitMax = 5 * time.Millisecond

	// socketsUntold is how many sockets a loop expects if nobody says.
	socketsUntold = 16 << 10

	// blockSmall and blockLarge are the sizes of the buffers of layered sockets: a
	// message, and what one receive may bring behind a record that was not whole.
	blockSmall = 4 << 10
	blockLarge = LendMax + 20<<10

	// smallBlocksKept and largeBlocksKept are how many of each a loop keeps for
	// reuse: 1 MiB and 1.3 MiB.
	smallBlocksKept = 256
	largeBlocksKept = 16

	// recordPlain is the most that a record of a layer carries, and recordOverhead
	// the most that it adds (TLS 1.2 with CBC: RFC 5246 section 6.2.3).
	recordPlain    = 16 << 10
	recordOverhead = 5 + 16 + 48 + 256

	// postsMax bounds the messages from other goroutines that wait for a loop.
	postsMax = 64 << 10
)
