// Package deflate compresses and expands the payload of WebSocket messages as
// permessage-deflate has it (RFC 7692 section 7.2), each message by itself.
// It knows no frames, reads and writes nothing and looks at no clock.
//
// An Inflater takes a message in any pieces and stops wherever its caller wants,
// so that neither what comes nor what it becomes is ever held as a whole. A
// Deflater takes what is one message already.
//
// Both belong to one loop. Nothing here is safe for concurrent use.
package deflate
