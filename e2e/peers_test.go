package e2e

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A message is one WebSocket message.
type message struct {
	text bool
	data []byte
}

// A closing is how a connection ended for one side: the code and reason of
// the other side's Close frame, or an error in its stead.
type closing struct {
	code   int
	reason string
	err    error
}

func (c closing) String() string {
	if c.err != nil {
		return c.err.Error()
	}
	return fmt.Sprintf("%d %q", c.code, c.reason)
}

// A peerConn is one WebSocket connection in the hands of one library, at
// either end. A goroutine of its own reads, so that control frames are
// answered while a test does something else.
type peerConn interface {
	send(m message, fragments int) error
	ping() error // returns after the pong
	close(code int, reason string) error
	messages() <-chan message // closed at the end of the connection
	end() closing             // valid once messages is closed
	subprotocol() string
	deflates() bool
}

// An inbox is the reading half that all libraries in this process share.
type inbox struct {
	in   chan message
	last closing
}

func newInbox() inbox { return inbox{in: make(chan message, 16)} }

func (b *inbox) messages() <-chan message { return b.in }
func (b *inbox) end() closing             { return b.last }

// finish records the end; the reading goroutine calls it last.
func (b *inbox) finish(c closing) {
	b.last = c
	close(b.in)
}

// An offer is what a client proposes in its handshake.
type offer struct {
	protocols []string
	deflate   bool
}

// A library is a WebSocket implementation as client and as server.
type library struct {
	name string
	dial func(ctx context.Context, url string, o offer) (peerConn, error)
	// serve starts a server and returns its host:port. It speaks to every
	// connection as serveSession does.
	serve func(t *testing.T) string
}

// libraries are the ones that the project promises to work with.
func libraries() []library {
	return []library{coderLibrary(), gorillaLibrary(), gobwasLibrary(), nodeLibrary()}
}

// serverProtocols are the subprotocols that every server accepts.
var serverProtocols = []string{"beta", "gamma"}

// serverEnds are the closings that servers saw, by the id in the query. All
// tests share them, as they share the Node process.
var serverEnds = endings{byID: map[string]chan closing{}}

type endings struct {
	mu   sync.Mutex // protects byID
	byID map[string]chan closing
}

func (e *endings) of(id string) chan closing {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byID[id] == nil {
		e.byID[id] = make(chan closing, 1)
	}
	return e.byID[id]
}

// serveSession is what every server does with a connection. Most messages are
// echoed, in as many frames as `fragments` in the query says; "close CODE
// REASON" closes, and "ping" sends a ping and reports its pong.
func serveSession(c peerConn, query url.Values) {
	fragments, _ := strconv.Atoi(query.Get("fragments"))
	for m := range c.messages() {
		if err := serveMessage(c, m, max(1, fragments)); err != nil {
			break
		}
	}
	for range c.messages() { // until the reader has ended
	}
	serverEnds.of(query.Get("id")) <- c.end()
}

func serveMessage(c peerConn, m message, fragments int) error {
	text := ""
	if m.text && len(m.data) < 64 {
		text = string(m.data)
	}
	switch {
	case strings.HasPrefix(text, "close "):
		words := strings.SplitN(text, " ", 3)
		code, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return c.close(code, words[2])
	case text == "ping":
		if err := c.ping(); err != nil {
			return err
		}
		return c.send(message{true, []byte("pong")}, 1)
	default:
		return c.send(m, fragments)
	}
}

// pieces cuts data into n parts of about the same size.
func pieces(data []byte, n int) [][]byte {
	size := max(1, (len(data)+n-1)/n)
	parts := make([][]byte, n)
	for i := range parts {
		parts[i] = data[min(i*size, len(data)):min((i+1)*size, len(data))]
	}
	return parts
}

// pongWait is how long a ping may stay without its pong.
func pongWait() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), rig.Soon)
}
