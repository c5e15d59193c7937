package h2

import "time"

const (
	// streamsMax is how many requests of a client may be under way on one connection.
	streamsMax = 128

	// streamWindow is how many bytes of a request may wait for the proxy (RFC 9113
	// section 5.2), and connectionWindow those of all requests of a connection: large
	// enough that one which nobody reads does not hold up the others. The first is
	// more than the least that a client assumes, the second less than 2^31.
	streamWindow     = 64 << 10
	connectionWindow = streamsMax * streamWindow

	// frameMax is the largest payload of a frame that is taken: the least that must
	// be (section 4.2).
	frameMax = 16 << 10

	// headSlack is how many times larger than it may be a header list can be for its
	// stream alone to be refused: the library ends the connection, and all that goes
	// on there, for one field that is larger than a list may be.
	headSlack = 4

	// dataMax is how much of an answer one frame carries: with its header it fits one
	// record of TLS.
	dataMax = 16<<10 - 9

	// idleTime is for how long a connection may have no request under way.
	idleTime = 60 * time.Second

	// stallTime is how long a client may take nothing of what is sent to it. While the
	// proxy still has the request, its clocks judge how long a window may stay shut.
	stallTime = 60 * time.Second

	// drainPause is for how long requests are still taken that a client has sent
	// before it could know that the connection is to end (section 6.8).
	drainPause = time.Second

	// cutGrace is how long a connection that is cut may take to bring its last bytes out.
	cutGrace = 2 * time.Second

	// resetsMax is how many requests that come to nothing a client may begin at once,
	// and resetsPerSecond what it may add to that (CVE-2023-44487); vainMax and
	// vainPerSecond are those of frames that bring nothing.
	resetsMax, resetsPerSecond = 200, 20
	vainMax, vainPerSecond     = 2000, 200

	// updatesPerFrame is how many WINDOW_UPDATEs are no surprise for each frame of DATA
	// that was sent, and for each request. Others bring nothing.
	updatesPerFrame = 4

	// streamsKept is how many streams there may be with those that have ended for the
	// client, and not yet here.
	streamsKept = 2 * streamsMax

	// controlMax is how many frames may wait that are not of answers: more than a client
	// is answered at once before it is told to be calm.
	controlMax = 2 * vainMax

	// ownResetsKept is how many streams are remembered that were reset from this side:
	// frames for them may still be on their way.
	ownResetsKept = 256

	// answerBytes is what is read at a time of an answer.
	answerBytes = 16 << 10
)
