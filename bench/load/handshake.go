package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/cloudwego/netpoll"
)

// A challenge is the key of one upgrade request and the answer to it
// (RFC 6455 section 4.2.2).
type challenge struct {
	key      [24]byte
	accept   [28]byte
	protocol string // the subprotocol that is offered; "" = none
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func newChallenge() (c challenge) {
	var nonce [16]byte
	binary.NativeEndian.PutUint64(nonce[:], rand.Uint64())
	binary.NativeEndian.PutUint64(nonce[8:], rand.Uint64())
	base64.StdEncoding.Encode(c.key[:], nonce[:])
	c.answer()
	return c
}

// answer derives the accept from the key.
func (c *challenge) answer() {
	var text [len(c.key) + len(acceptGUID)]byte
	copy(text[copy(text[:], c.key[:]):], acceptGUID)
	sum := sha1.Sum(text[:])
	base64.StdEncoding.Encode(c.accept[:], sum[:])
}

const (
	requestBegin = "GET / HTTP/1.1\r\nHost: "
	requestRest  = "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
	requestOffer = "\r\nSec-WebSocket-Protocol: "
	headEnd      = "\r\n\r\n"
)

// shakeHands upgrades a connection that has no handler yet, so that netpoll
// neither calls it nor frees its buffers, and returns the bytes that came
// behind the response.
func shakeHands(conn netpoll.Connection, host, protocol string) (early []byte, err error) {
	c := newChallenge()
	c.protocol = protocol
	if err := sendRequest(conn.Writer(), host, &c); err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	in := conn.Reader()
	for searched := 0; ; {
		// Peek waits for one byte more than was seen.
		if _, err := in.Peek(searched + 1); err != nil {
			return nil, fmt.Errorf("await response: %w", err)
		}
		all, err := in.Peek(in.Len())
		if err != nil {
			return nil, fmt.Errorf("await response: %w", err)
		}
		end := bytes.Index(all[max(0, searched-len(headEnd)):], []byte(headEnd))
		if end < 0 {
			if searched = len(all); searched > headBytesMax {
				return nil, errors.New("response without an end")
			}
			continue
		}
		end += max(0, searched-len(headEnd)) + len(headEnd)
		if err := checkResponse(all[:end], &c); err != nil {
			return nil, err
		}
		if err := in.Skip(end); err != nil {
			return nil, err
		}
		if len(all) > end {
			if early, err = in.ReadBinary(len(all) - end); err != nil {
				return nil, err
			}
		}
		return early, in.Release()
	}
}

func sendRequest(out netpoll.Writer, host string, c *challenge) error {
	offer := ""
	if c.protocol != "" {
		offer = requestOffer
	}
	b, err := out.Malloc(len(requestBegin) + len(host) + len(requestRest) + len(c.key) +
		len(offer) + len(c.protocol) + len(headEnd))
	if err != nil {
		return err
	}
	b = b[copy(b, requestBegin):]
	b = b[copy(b, host):]
	b = b[copy(b, requestRest):]
	b = b[copy(b, c.key[:]):]
	b = b[copy(b, offer):]
	b = b[copy(b, c.protocol):]
	copy(b, headEnd)
	return out.Flush()
}

// checkResponse judges a response as RFC 6455 section 4.1 asks of a client
// that offered no extension, and the one subprotocol if any.
func checkResponse(head []byte, c *challenge) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")) && string(line) != "HTTP/1.1 101" {
		return fmt.Errorf("upgrade answered with %.60q", line)
	}
	var upgrade, connection, accept int
	for {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("response has the line %.60q", line)
		}
		value = bytes.Trim(value, " \t")
		switch {
		case foldEqual(name, "Upgrade"):
			upgrade++
			if !foldEqual(value, "websocket") {
				return fmt.Errorf("response upgrades to %.60q", value)
			}
		case foldEqual(name, "Connection") && hasToken(value, "upgrade"):
			connection++
		case foldEqual(name, "Sec-WebSocket-Accept"):
			accept++
			if !bytes.Equal(value, c.accept[:]) {
				return errors.New("response accepts another key")
			}
		case foldEqual(name, "Sec-WebSocket-Protocol") && c.protocol != "" && string(value) == c.protocol:
		case foldEqual(name, "Sec-WebSocket-Extensions"), foldEqual(name, "Sec-WebSocket-Protocol"):
			return fmt.Errorf("response has a %s nobody asked for", name)
		}
	}
	if upgrade != 1 || connection == 0 || accept != 1 {
		return fmt.Errorf("response lacks Upgrade, Connection or Sec-WebSocket-Accept, or has one twice")
	}
	return nil
}

func foldEqual(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// hasToken reports whether a comma list has the token.
func hasToken(list []byte, token string) bool {
	for part := range bytes.SplitSeq(list, []byte(",")) {
		if foldEqual(bytes.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}
