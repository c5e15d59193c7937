// Package handshake judges HTTP/1.1 heads: bytes in, verdict out.
//
// It finds the end of a head that arrives in pieces (HeadScanner), holds it
// to a strict grammar (Request, Response), applies the rules of RFC 6455 to
// the upgrade and to its answer, writes the head that goes to the backend,
// and counts the message bodies of ordinary answers (Body). What it accepts,
// net/http and gobwas/ws read the same way; the fuzz targets hold it to that.
//
// It does not read, write, dial, route, log or look at a clock, and it never
// changes a byte of a frame: after the 101 it has nothing more to say.
//
// Nothing here is safe for concurrent use, and nothing needs to be: a loop
// owns one Request, one Response and one Verifier, about 6 KiB together, and
// uses them for every tunnel in turn. What is remembered between a request
// and its answer is the head that was sent (Offer); the state kept per tunnel
// is a HeadScanner (4 bytes) and, while an answer is relayed, a Body.
package handshake
