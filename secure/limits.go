package secure

import "time"

const (
	// waitingMax bounds what a peer may send in its handshake ahead of crypto/tls,
	// which itself takes no message above 256 KiB.
	waitingMax = 128 << 10

	// handshakesMax is how many handshakes may be under way. One that waits for its
	// peer holds a goroutine, about 16 KiB; beyond it, connections are closed.
	handshakesMax = 8 << 10

	// recordMax is the most that one record may take: its header and ciphertext
	// (RFC 5246 section 6.2.3; RFC 8446 section 5.2 allows less).
	recordMax = 5 + 16<<10 + 2048

	// ticketLife is for how long a key makes session tickets. ticketKeysMax keys
	// are taken: a ticket is good for one to two days.
	ticketLife    = 24 * time.Hour
	ticketKeysMax = 3

	// reloadEvery is how often certificate files are looked at.
	reloadEvery = 5 * time.Second
)
