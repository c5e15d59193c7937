package secure

import "time"

const (
	// waitingMax bounds what a peer may send in its handshake ahead of crypto/tls,
	// which itself takes no message above 256 KiB.
	// The loop stops reading at half of it, and one turn of it brings 256 KiB at most.
	waitingMax = 640 << 10

	// carriedMax is how much is read at a time where no loop feeds a handshake: most
	// often all that a server has to say.
	carriedMax = 8 << 10

	// handshakesMax is how many handshakes may be under way. One that waits for its
	// peer holds a goroutine, about 16 KiB; beyond it, connections are closed.
	handshakesMax = 8 << 10

	// restFactor is for how many times as long as a step of a handshake took its slot of
	// the gate rests behind it, while the loops serve open tunnels.
	restFactor = 1

	// messageMax bounds a handshake message behind the handshake: a session ticket.
	messageMax = 64 << 10

	// idleRecordsMax is how many records in a row may carry nothing for the owner:
	// empty ones, tickets, key updates.
	idleRecordsMax = 32

	// recordsPerKey is how many records we protect with one key. AES-GCM is good for
	// 2^24.5 of full size (RFC 8446 section 5.5).
	recordsPerKey = 1 << 24

	// ticketLife is for how long a key makes session tickets. ticketKeysMax keys
	// are taken: a ticket is good for one to two days.
	ticketLife    = 24 * time.Hour
	ticketKeysMax = 3

	// sessionsKept is how many sessions of a server are remembered, to resume.
	sessionsKept = 64

	// reloadEvery is how often certificate files are looked at.
	reloadEvery = 5 * time.Second

	// connReadBytes is what a Conn reads at a time, and connSealedKept how large a
	// buffer it keeps between writes.
	connReadBytes  = 16 << 10
	connSealedKept = 2 << 10
)
