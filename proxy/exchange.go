package proxy

import (
	"time"

	"wsplice/handshake"
	"wsplice/internal/sys"
)

// An exchange is what a tunnel holds only until it relays: the heads, what came
// with them, and the state of the search for a backend. Workers reuse them.
type exchange struct {
	request []byte // the client's head and what came behind it
	out     []byte // the head for the backend
	reply   []byte // an answer for the client
	answer  []byte // the backend's head and what came behind it
	path    []byte // what was asked for, normalised, for the log
	head    int    // length of the request's head, 0 until it is complete

	requestScan handshake.HeadScanner
	answerScan  handshake.HeadScanner

	search    search         // for a server
	body      handshake.Body // of a refusal that is being relayed, or of an ordinary request
	interims  int            // 1xx answers seen
	accepted  string         // subprotocol of an endpoint
	extension string         // of an endpoint: the answer to an offer of permessage-deflate, or none
	toHead    bool           // the request is a HEAD: its answer has no body
	dialUntil time.Duration  // end of the current address's dial time
	keepAlive bool           // the client wants to send another request
	complete  bool           // the relayed refusal's body was seen to its end

	// Warm connections.
	warm     bool // the backend's connection was one
	cold     bool // none is to be taken for this request: one was dead, or it may not be sent twice
	unproven bool // nothing shows yet that its peer is still there

	// While away. cut is nil until lent is in other hands.
	lent  sys.FD // a duplicate of the client's descriptor
	cut   func() // ends the work of the goroutines
	http2 bool   // they serve a whole connection
}

// early returns what the client sent behind its head.
func (x *exchange) early() []byte { return x.request[x.head:] }

func (w *worker) takeExchange() *exchange {
	if n := len(w.exchanges); n > 0 {
		x := w.exchanges[n-1]
		w.exchanges = w.exchanges[:n-1]
		return x
	}
	return new(exchange)
}

func (w *worker) giveExchange(x *exchange) {
	if len(w.exchanges) >= exchangesKeptMax {
		return
	}
	*x = exchange{
		request: emptied(x.request), out: emptied(x.out), reply: emptied(x.reply),
		answer: emptied(x.answer), path: emptied(x.path),
	}
	w.exchanges = append(w.exchanges, x)
}

func emptied(b []byte) []byte {
	if cap(b) > exchangeBytesKept {
		return nil
	}
	return b[:0]
}
