package health

const (
	// checksAtOnceMax bounds the checks that run at the same time, and with them
	// their goroutines' connections; further ones wait for their turn.
	checksAtOnceMax = 64

	// jitterParts: two checks of a server are an interval apart, give or take an
	// eighth, so that those of many servers do not stay in step.
	jitterParts = 8

	// answerBytesMax bounds what is read in one check, heads included.
	answerBytesMax = 64 << 10

	// framesMax bounds the frames that a server may send before its pong.
	framesMax = 64

	// reasonBytesMax bounds what the log says of a failed check.
	reasonBytesMax = 200
)
