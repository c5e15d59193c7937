package h2

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"wsplice/internal/sys"
)

// buffers hold what is on its way to a client.
var buffers = sync.Pool{New: func() any { return new([answerBytes]byte) }}

// exchange sends the request's head and brings the answer.
func (s *stream) exchange() error {
	if _, err := s.file.Write(s.request.head); err != nil {
		return s.unanswered()
	}
	s.request.head = nil
	s.begin()
	from := bufio.NewReader(s.file)
	response, err := s.readHead(from)
	if err != nil {
		return s.unanswered()
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusSwitchingProtocols && s.request.websocket:
		early, _ := from.Peek(from.Buffered()) // so much it has
		return s.tunnel(response.Header, early)
	case response.StatusCode == http.StatusSwitchingProtocols, // HTTP/2 has none (RFC 9113 section 8.6)
		s.request.websocket && response.StatusCode < http.StatusMultipleChoices: // it would open the tunnel
		s.ignore()
		s.refuse(badAnswer)
		return nil
	}
	return s.relay(response)
}

// readHead returns the head of the final answer, and passes interim ones on.
func (s *stream) readHead(from *bufio.Reader) (*http.Response, error) {
	to := &http.Request{Method: s.request.method}
	for {
		response, err := http.ReadResponse(from, to)
		if err != nil || response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
		if err = s.writeHead(response.StatusCode, endToEnd(response.Header), false); err != nil {
			return nil, err
		}
	}
}

// unanswered ends a request that has got no answer.
func (s *stream) unanswered() error {
	if s.dead.Load() {
		return errDead
	}
	s.ignore()
	s.refuse(badAnswer)
	return nil
}

// relay brings an ordinary answer.
func (s *stream) relay(response *http.Response) error {
	empty := response.Body == http.NoBody
	if err := s.writeHead(response.StatusCode, endToEnd(response.Header), empty); err != nil || empty {
		return err
	}
	buffer := buffers.Get().(*[answerBytes]byte)
	defer buffers.Put(buffer)
	for {
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			if err := s.writeData(buffer[:n], false); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && s.entrance.WasCut():
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF) && len(response.Trailer) > 0:
			return s.writeHead(0, endToEnd(response.Trailer), true)
		case errors.Is(err, io.EOF):
			return s.writeData(nil, true)
		case err != nil:
			return err
		}
	}
}

// tunnel answers 200 and brings what the proxy sends from then on.
func (s *stream) tunnel(header http.Header, early []byte) error {
	header = endToEnd(header)
	delete(header, "Sec-Websocket-Accept")
	delete(header, "Content-Length") // RFC 9110 section 9.3.6
	err := s.writeHead(http.StatusOK, header, false)
	if len(early) > 0 && err == nil {
		err = s.writeData(early, false)
	}
	for err == nil {
		err = s.bring()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if s.entrance.WasCut() {
		return io.ErrUnexpectedEOF
	}
	if err = s.writeData(nil, true); err != nil {
		return err
	}
	<-s.entrance.Gone // with both directions, or when it is tired of waiting for the client's
	return nil
}

// bring sends what one read brings. It has a buffer only once there is something.
func (s *stream) bring() error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var (
		buffer *[answerBytes]byte
		n      int
		errno  sys.Errno
	)
	err = conn.Read(func(uintptr) bool {
		buffer = buffers.Get().(*[answerBytes]byte)
		if n, errno = s.entrance.FD.Recv(buffer[:dataMax]); errno == sys.EAGAIN {
			buffers.Put(buffer)
			buffer = nil
		}
		return errno != sys.EAGAIN
	})
	if buffer != nil {
		defer buffers.Put(buffer)
	}
	switch {
	case err != nil:
		return err
	case errno != 0:
		return errno
	case n == 0:
		return io.EOF
	}
	return s.writeData(buffer[:n], false)
}

// ofConnection are the fields that belong to the connection to the proxy (RFC 9113
// section 8.2.2).
var ofConnection = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

// endToEnd returns header without those, and without what could not be sent.
func endToEnd(header http.Header) http.Header {
	for _, list := range header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			header.Del(textproto.TrimString(name))
		}
	}
	for _, name := range ofConnection {
		header.Del(name)
	}
	for name, values := range header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				delete(header, name)
			}
		}
	}
	return header
}
