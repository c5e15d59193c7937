package proxy

import (
	"wsplice/handshake"
	"wsplice/pool"
)

// An exchange is what a tunnel holds only until it relays: the heads, what came
// with them, and the state of the search for a backend. Workers reuse them.
type exchange struct {
	request []byte // the client's head and what came behind it
	out     []byte // what is being sent: head for the backend, or an answer
	answer  []byte // the backend's head and what came behind it
	path    []byte // what was asked for, normalised, for the log
	head    int    // length of the request's head, 0 until it is complete

	requestScan handshake.HeadScanner
	answerScan  handshake.HeadScanner

	tried    pool.Tried // servers that failed
	address  int        // which address of the current server is dialed
	attempts int

	body      handshake.Body // of a refusal that is being relayed
	interims  int            // 1xx answers seen
	keepAlive bool           // the client wants to send another request
	complete  bool           // the relayed refusal's body was seen to its end
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
	*x = exchange{request: emptied(x.request), out: emptied(x.out), answer: emptied(x.answer), path: emptied(x.path)}
	w.exchanges = append(w.exchanges, x)
}

func emptied(b []byte) []byte {
	if cap(b) > exchangeBytesKept {
		return nil
	}
	return b[:0]
}
