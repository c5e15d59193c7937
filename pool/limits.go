package pool

import "time"

const (
	// serversMax bounds the servers of an upstream; their indexes fit a byte.
	serversMax = 256

	// addressesMax bounds the addresses that a host name may bring; further ones
	// are not used.
	addressesMax = 16

	// weightMax bounds the weight of a server, and weightUnit is the share of it
	// that slow start counts in.
	weightMax  = 100
	weightUnit = 256

	// setMax is the highest number that a set may have.
	setMax = 99

	// retriesDefault is how many further servers a request tries, and
	// resolveIntervalDefault how often names are looked up again, where nothing
	// else was asked for.
	retriesDefault         = 5
	resolveIntervalDefault = 30 * time.Second

	// resolveTimeout bounds one look-up of a name.
	resolveTimeout = 10 * time.Second

	// downLinePause is how long after a line that a server is down the next one
	// for the same server may follow.
	downLinePause = 10 * time.Second
)

// Warm connections.
const (
	// warmAgeMax is how long a warm connection waits to be taken, less up to a
	// quarter. Servers and firewalls drop those that are idle for minutes.
	warmAgeMax = 60 * time.Second

	// warmLook is how often connections are looked at that announce nothing: for
	// their age, and for what a server sends unasked.
	// While one is younger than warmShortLife, it is warmLookYoung: a server that
	// sends on and on does so from the beginning, and netpoll reads all of it.
	warmLook      = time.Second
	warmLookYoung = 50 * time.Millisecond

	// warmEarlyMax is how much a server that speaks first may send before the
	// connection is taken. One that sends more is not kept warm any more.
	warmEarlyMax = 64 << 10

	// warmDialsMax is how many connections to a server are dialed at once.
	warmDialsMax = 16

	// warmTriesMax is how many dead connections one Take looks at.
	warmTriesMax = 4

	// warmRetry is how long nothing is dialed after a failure, give or take;
	// each further one in a row doubles it, up to warmRetryMax.
	warmRetry          = 100 * time.Millisecond
	warmRetryMax       = 5 * time.Second
	warmRetryDoublings = 6

	// warmShortLife: a connection that the server ends sooner is a failure.
	warmShortLife = time.Second

	// warmYieldPause is how long nothing is dialed after tunnels have needed the
	// descriptors.
	warmYieldPause = 5 * time.Second

	// warmHeadroom is how many descriptors warm connections leave for tunnels.
	warmHeadroom = 128
)
