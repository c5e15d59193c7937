package load

import "time"

const (
	// tunnelsMax bounds Config.Tunnels: the open-files limits and the
	// ephemeral ports of one address end before it.
	tunnelsMax = 60_000

	// messageBytesMax bounds Config.MessageBytes.
	messageBytesMax = 16 << 20

	// dialsMax bounds the handshakes under way at once.
	dialsMax = 64

	// openTimeout bounds one connect and upgrade.
	openTimeout = 15 * time.Second

	// settleTimeout bounds the wait for outstanding echoes after the window.
	settleTimeout = 5 * time.Second

	// readBytesMax bounds what is taken from a tunnel's input at once.
	readBytesMax = 256 << 10

	// upFrameCount is how many differently masked frames bulk senders share.
	upFrameCount = 8

	// contentEvery is how often a whole payload is compared; the length and
	// the first bytes always are.
	contentEvery = 64

	// errorTextsMax bounds the distinct errors a result quotes.
	errorTextsMax = 5
)
