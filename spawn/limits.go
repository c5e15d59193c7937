package spawn

import "time"

const (
	// messageBytesMax bounds a message between wsplice and the supervisor, and so
	// a command with its environment. A packet must fit a socket's send buffer,
	// which has 208 KiB unless the administrator has changed that.
	messageBytesMax = 128 << 10

	// messageFilesMax is how many descriptors come with a message at most.
	messageFilesMax = 2

	// lineBytesMax bounds a line of a process's output in the log; what is longer
	// is continued in the next.
	lineBytesMax = 4096

	// eventsSpare is how many events the link holds beyond two for each slot,
	// which is what one round of starts can bring.
	eventsSpare = 16

	// sendMax bounds the wait for the other end to read a message.
	sendMax = 5 * time.Second

	// startMax bounds the wait for the first processes.
	startMax = 10 * time.Second

	// bindMax bounds the wait for an address that is taken, perhaps by processes
	// of an earlier wsplice that are about to end; it is looked at every bindEvery.
	bindMax   = endGrace + endKill
	bindEvery = 100 * time.Millisecond

	// outputMax bounds the wait for the rest of the processes' output at the end.
	outputMax = 500 * time.Millisecond
)

// How a process is ended that is not needed any more, as lighttpd does it: the
// kill signal, once more, then others.
const (
	againAfter = 4 * time.Second
	termAfter  = 8 * time.Second
	killAfter  = 16 * time.Second
)

// How all are ended when wsplice ends: the kill signal, and SIGKILL to what is
// left after endGrace; what does not even end by that for endKill is left.
const (
	endGrace = 4 * time.Second
	endKill  = 2 * time.Second
)

// An escalation is the waits before the further signals to a process.
type escalation struct{ again, term, kill, end time.Duration }

var defaultEscalation = escalation{again: againAfter, term: termAfter, kill: killAfter, end: endGrace}

// A pace is how fast a manager acts.
type pace struct {
	tick         time.Duration // between looks at the load
	demand       time.Duration // between looks for clients of groups without a process
	livedLong    time.Duration // a process that dies later is replaced at once
	backoff      time.Duration // before one that died sooner is replaced; doubled each time
	backoffMax   time.Duration
	patience     time.Duration // clients wait for a replacement that is put off for no longer than that
	instantDeath time.Duration // for how long the first processes are watched at the start
}

var defaultPace = pace{
	tick: time.Second, demand: 50 * time.Millisecond,
	livedLong: 5 * time.Second, backoff: time.Second, backoffMax: 30 * time.Second, patience: 2 * time.Second,
	instantDeath: 100 * time.Millisecond,
}
