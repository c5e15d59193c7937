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

	// postsMax bounds the messages from other goroutines that wait for a loop.
	postsMax = 64 << 10
)
