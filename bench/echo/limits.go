package echo

import "time"

// What one client may make the backend hold or wait for.
const (
	// headBytesMax bounds the upgrade request's head (431 beyond it).
	headBytesMax = 16 << 10

	// headTimeout bounds the time from accept to the end of the head.
	headTimeout = 10 * time.Second

	// messageBytesMax bounds one message over all its frames (1009 beyond
	// it). Messages are streamed, so this is no measure of memory.
	messageBytesMax = 1 << 30

	// backlogBytesMax bounds what has been received and not been echoed.
	// netpoll reads ahead of its handler without asking, so a client that
	// sends and never reads is found by a watch, and cut, at this size.
	backlogBytesMax = 256 << 20

	// backlogWatchPeriod is how often the watch looks.
	backlogWatchPeriod = 250 * time.Millisecond

	// readBytesMax bounds what is taken from the input at once, and with it
	// what waits in the output before a flush.
	readBytesMax = 256 << 10

	// frameBytesMax bounds Options.FrameBytes.
	frameBytesMax = 16 << 20

	// sourceWriteBytes is what a source gathers from small frames before it
	// writes; a larger frame is written in pieces of at most
	// wire.PatternChunkMax.
	sourceWriteBytes = 16 << 10

	// lingerTimeout bounds the wait for the client's FIN after our Close.
	lingerTimeout = 2 * time.Second

	// shutdownTimeout bounds Server.Close.
	shutdownTimeout = 5 * time.Second
)
