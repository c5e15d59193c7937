package loop

// uringSizes says how much an io_uring engine may have on its way.
type uringSizes struct {
	entries     int // submissions that wait for the tick's end; more are handed over before
	completions int // that wait to be taken; more are kept by the kernel and counted
	small       int // buffers for messages
	smallBytes  int // each
	large       int // buffers for reads of large messages
	largeBytes  int // each
	limit       int // bytes that one stream may bring before it is armed again
}

// The sizes follow from how many sockets a loop may hold: one in
// socketsPerBuffer is taken to have received something in the same tick. What
// does not fit is not lost: it waits for the next tick.
const (
	socketsPerBuffer = 32

	smallBuffersMin = 64
	smallBuffersMax = 256

	// smallBufferBytes holds a message of 4 KiB with its header.
	smallBufferBytes = 8 << 10

	// largeBuffers of lend bytes serve sockets with large messages.
	largeBuffers = 16

	// streamBytes bounds what a stream may bring after its owner has paused it.
	streamBytes = 32 << 10

	// calmReads is how many small reads in a row take a socket back to a stream.
	calmReads = 16
)

// sizesFor returns the sizes for a loop with so many sockets; lend is the most
// that one completion may lend.
func sizesFor(sockets, lend int) uringSizes {
	small := min(max(powerOfTwo(sockets/socketsPerBuffer), smallBuffersMin), smallBuffersMax)
	return uringSizes{
		entries:     2 * small,
		completions: 8 * small,
		small:       small,
		smallBytes:  min(smallBufferBytes, lend),
		large:       largeBuffers,
		largeBytes:  lend,
		limit:       min(streamBytes, lend),
	}
}

// powerOfTwo returns the least power of two that is not below n.
func powerOfTwo(n int) int {
	power := 1
	for power < n {
		power *= 2
	}
	return power
}
