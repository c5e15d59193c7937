package load

import "time"

const (
	// tunnelsMax bounds Config.Tunnels and Config.Idlers: the open-files
	// limits and the ephemeral ports of one address end before it.
	tunnelsMax = 60_000

	// messageBytesMax bounds Config.MessageBytes.
	messageBytesMax = 16 << 20

	// rateMax bounds Config.Rate.
	rateMax = 1_000_000

	// sourcesMax bounds Config.Sources.
	sourcesMax = 250

	// dialsMax bounds the handshakes under way at once when a run opens its
	// tunnels.
	dialsMax = 64

	// stormDialsMax bounds them when the clients of a Storm come back: more
	// than the 511 to 4,096 connections a listener queues would lose some to
	// the second after which a SYN is sent again.
	stormDialsMax = 500

	// headBytesMax bounds the response to an upgrade.
	headBytesMax = 16 << 10

	// openTimeout bounds one connect and upgrade.
	openTimeout = 15 * time.Second

	// cycleTimeout bounds one cycle of Churn, and one attempt of a Storm's
	// client to come back.
	cycleTimeout = 5 * time.Second

	// retryPause is how long who failed to connect waits before it tries
	// again.
	retryPause = 10 * time.Millisecond

	// burstsMax bounds how many tunnels of a burst are under way at once, and
	// burstTimeout how long one of them may take.
	burstsMax    = 50
	burstTimeout = 30 * time.Second

	// recordBytesMax is the most that one read of TLS returns (RFC 8446 section
	// 5.1), and goodbyeTimeout how long the alert that ends a session may wait for
	// a peer that reads nothing.
	recordBytesMax = 16 << 10
	goodbyeTimeout = time.Second

	// stormTimeout bounds the time until all clients are back.
	stormTimeout = 30 * time.Second

	// settleTimeout bounds the wait for what is under way after the window.
	settleTimeout = 5 * time.Second

	// readBytesMax bounds what is taken from a tunnel's input at once.
	readBytesMax = 256 << 10

	// inflightMax and inflightBytesMax bound what a tunnel of Open has sent
	// and not got back, the second so that the kernel takes every message at
	// once and the pacer never waits. One message is always allowed.
	inflightMax      = 64
	inflightBytesMax = 512 << 10

	// pacerStep is how long the pacer sleeps at least: what falls due within
	// it is sent together.
	pacerStep = 20 * time.Microsecond

	// pacerSleepMax bounds one sleep, and with it how late a stop is seen.
	pacerSleepMax = 10 * time.Millisecond

	// pacerLateMax is by how much the pacer may miss an intended time before
	// the miss is counted, see Result.PacerMisses.
	pacerLateMax = time.Millisecond

	// upFrameCount is how many differently masked frames bulk senders share.
	upFrameCount = 8

	// contentEvery is how often a whole payload is compared; the length and
	// the first bytes always are.
	contentEvery = 64

	// errorTextsMax bounds the distinct errors a result quotes.
	errorTextsMax = 5
)
