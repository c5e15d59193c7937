package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A nodeProcess is the one Node process of a run. It is client and server in
// one, and speaks lines of JSON with this process (see testdata/node/peer.js).
type nodeProcess struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	port chan int

	mu      sync.Mutex // protects the fields below, and writing to in
	clients map[int]*nodeConn
	lastID  int
}

// nodeLine is a command to Node or an event from it.
type nodeLine struct {
	Do        string   `json:"do,omitempty"`
	Event     string   `json:"event,omitempty"`
	ID        int      `json:"id,omitempty"`
	Name      string   `json:"name,omitempty"`
	URL       string   `json:"url,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
	Offer     bool     `json:"offer,omitempty"`
	Text      bool     `json:"text,omitempty"`
	Data      []byte   `json:"data"`
	Fragments int      `json:"fragments,omitempty"`
	Code      int      `json:"code,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Port      int      `json:"port,omitempty"`
	Protocol  string   `json:"protocol,omitempty"`
	Extension string   `json:"extensions,omitempty"`
}

// node starts the Node process when the first test asks for it.
var node = sync.OnceValues(startNode)

// nodeStarted is the process that stopNode has to end.
var nodeStarted *nodeProcess

func startNode() (*nodeProcess, error) {
	if err := npmInstalled(); err != nil {
		return nil, err
	}
	n := &nodeProcess{
		cmd:  exec.Command("node", "peer.js"),
		port: make(chan int, 1), clients: map[int]*nodeConn{},
	}
	n.cmd.Dir, n.cmd.Stderr = nodeDir, os.Stderr
	// It ends with its stdin. A signal at our death would come when the thread ends
	// that has started it, as one of a network of its own does.
	out, err1 := n.cmd.StdoutPipe()
	in, err2 := n.cmd.StdinPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	n.in = in
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	nodeStarted = n
	go n.read(out)
	return n, n.tell(nodeLine{Do: "serve"})
}

// stopNode ends the Node process, if a test has started it.
func stopNode() {
	if nodeStarted != nil {
		_ = nodeStarted.in.Close()
		_ = nodeStarted.cmd.Wait()
	}
}

func (n *nodeProcess) tell(line nodeLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err = n.in.Write(append(text, '\n'))
	return err
}

func (n *nodeProcess) read(out io.Reader) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var line nodeLine
		if err := json.Unmarshal(text, &line); err != nil {
			panic(fmt.Sprintf("node wrote %.200q: %v", text, err))
		}
		n.deliver(line)
	}
}

func (n *nodeProcess) deliver(line nodeLine) {
	switch line.Event {
	case "listening":
		n.port <- line.Port
	case "server closed":
		serverEnds.of(line.Name) <- closing{code: line.Code, reason: line.Reason}
	default:
		n.mu.Lock()
		c := n.clients[line.ID]
		n.mu.Unlock()
		c.deliver(line)
	}
}

// nodeConn is a connection that Node has opened.
type nodeConn struct {
	inbox
	n      *nodeProcess
	id     int
	opened chan nodeLine // the events open and error
	open   nodeLine
	pongs  chan string
	err    error
}

func (c *nodeConn) deliver(line nodeLine) {
	switch line.Event {
	case "open":
		c.opened <- line
	case "error":
		c.err = errors.New(line.Reason)
	case "message":
		c.in <- message{line.Text, line.Data}
	case "pong":
		c.pongs <- line.Reason
	case "closed":
		close(c.opened)
		// Like gorilla, ws reports a lost connection as 1006.
		if line.Code == 1006 && c.err == nil {
			c.err = errors.New("the connection was lost")
		}
		c.finish(closing{code: line.Code, reason: line.Reason, err: c.err})
	}
}

func nodeLibrary() library {
	return library{name: "node", dial: dialNode, serve: serveNode}
}

func dialNode(ctx context.Context, url string, o offer) (peerConn, error) {
	n, err := node()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.lastID++
	c := &nodeConn{
		inbox: newInbox(), n: n, id: n.lastID,
		opened: make(chan nodeLine, 1), pongs: make(chan string, 1),
	}
	n.clients[c.id] = c
	n.mu.Unlock()
	line := nodeLine{Do: "dial", ID: c.id, URL: url, Protocols: o.protocols, Offer: o.deflate}
	if err := n.tell(line); err != nil {
		return nil, err
	}
	select {
	case open, ok := <-c.opened:
		if !ok {
			return nil, c.err
		}
		c.open = open
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func serveNode(t *testing.T) string {
	n, err := node()
	if errors.Is(err, errMissing) {
		missing(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	port := rig.Receive(t, n.port, "Node listens")
	n.port <- port // for the next who asks
	address := fmt.Sprintf("127.0.0.1:%d", port)
	rig.SecureBackendAt(address)
	return address
}

func (c *nodeConn) send(m message, fragments int) error {
	return c.n.tell(nodeLine{Do: "send", ID: c.id, Text: m.text, Data: m.data, Fragments: fragments})
}

func (c *nodeConn) ping() error {
	if err := c.n.tell(nodeLine{Do: "ping", ID: c.id, Reason: "knock"}); err != nil {
		return err
	}
	return awaitPong(c.pongs, "knock")
}

func (c *nodeConn) close(code int, reason string) error {
	return c.n.tell(nodeLine{Do: "close", ID: c.id, Code: code, Reason: reason})
}

func (c *nodeConn) subprotocol() string { return c.open.Protocol }
func (c *nodeConn) deflates() bool {
	return strings.Contains(c.open.Extension, "permessage-deflate")
}
