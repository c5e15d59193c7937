// Package frame knows the WebSocket frames of a byte stream (RFC 6455 section 5).
// It does not read, write or look at a clock.
//
// For a tunnel, a Scanner finds where they begin and end. It changes no byte,
// unpacks no payload and checks no UTF-8: it looks at headers and at the payloads
// of control frames, and says which of the bytes it was shown are to be passed
// on. Beside it stand the few frames that wsplice itself puts between them.
//
// For an endpoint, a Decoder takes a client's frames apart, with all that RFC 6455
// demands of them, and an Encoder makes frames of what a backend sends.
//
// Each belongs to one direction of one tunnel and so to one loop. Nothing here
// is safe for concurrent use, and nothing here allocates.
package frame
