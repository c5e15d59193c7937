package gateway

import "time"

const (
	// stallTime is how long a client may send nothing of a body that is due, or
	// take nothing of an answer, and how long a backend may take nothing of a
	// request. Every byte that goes starts it anew.
	stallTime = 60 * time.Second

	// behindBytesMax bounds what is read behind a request while it is served: the
	// client's hang-up is only seen while reading goes on.
	behindBytesMax = 64 << 10

	// watchBytes is the size of one read of those.
	watchBytes = 512

	// continueTime is how long a backend may keep the body of a request with
	// Expect: 100-continue waiting. RFC 9110 section 10.1.1 wants an end to that.
	continueTime = time.Second

	// dialAttemptsMax bounds the addresses tried for one request, over all servers
	// of its upstream. Beyond it, each further server is tried at one address.
	dialAttemptsMax = 16

	// idleMax and idlePerServerMax bound the connections to backends that wait for
	// a next request, idleTime how long they do.
	idleMax          = 256
	idlePerServerMax = 32
	idleTime         = 30 * time.Second

	// layerReadBytes is what is read at a time below a layer, and layerWriteBytes
	// what is sealed at a time: a record of TLS.
	layerReadBytes  = 16 << 10
	layerWriteBytes = 16 << 10

	// copyBytes is the size of the buffers that answers are copied through.
	copyBytes = 32 << 10
)
