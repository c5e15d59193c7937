// Package frame finds where the WebSocket frames of a byte stream begin and
// end (RFC 6455 section 5), and writes the few frames that wsplice itself
// puts between them: Ping and Close.
//
// It does not read, write, look at a clock, change a byte, unpack a payload
// or check UTF-8: a Scanner looks at headers and at the payloads of control
// frames, and says which of the bytes it was shown are to be passed on.
//
// A Scanner belongs to one direction of one tunnel and so to one loop.
// Nothing here is safe for concurrent use, and nothing here allocates.
package frame
