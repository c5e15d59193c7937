package h2

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// A stream is one request (RFC 9113 section 5), and its connection to the proxy.
//
// Two goroutines serve it: the handler brings the answer, and another one what the
// client sends. Each may find that it is over; broken then ends the other's wait.
type stream struct {
	request  *http.Request
	answer   http.ResponseWriter
	flush    func() error
	entrance *Entrance
	file     *os.File // of the entrance
	once     sync.Once
	answered atomic.Bool // what the client still sends is of no interest
}

// serveHTTP serves one request.
func (l *Lane) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	if wrong := judge(r); wrong != nil {
		wrong.write(rw)
		return
	}
	entrance, err := r.Context().Value(clientKey{}).(Client).Enter()
	if err != nil {
		l.log.Debug("no connection for a request of HTTP/2", "error", err)
		shortage.write(rw)
		return
	}
	s := &stream{
		request: r, answer: rw, flush: http.NewResponseController(rw).Flush,
		entrance: entrance, file: entrance.FD.File(),
	}
	forget := context.AfterFunc(r.Context(), s.broken)
	defer entrance.Done()
	defer s.file.Close()
	defer forget()
	if s.exchange() != nil {
		s.broken()
		panic(http.ErrAbortHandler) // RST_STREAM: what went out is not the whole answer
	}
}

// broken ends the request on both sides.
func (s *stream) broken() {
	s.once.Do(func() {
		s.entrance.Cut()
		_ = s.file.SetDeadline(past) // it may be closed already
	})
}

// exchange sends the request and brings the answer.
func (s *stream) exchange() error {
	if _, err := s.file.Write(appendHead(nil, s.request)); err != nil {
		return s.unanswered()
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.send()
	}()
	err := s.receive()
	if err != nil {
		s.broken()
	}
	s.answered.Store(true)
	_ = s.request.Body.Close()
	_ = s.file.SetWriteDeadline(past)
	<-sent
	return err
}

// send brings what the client sends, and its end, to the proxy.
func (s *stream) send() {
	err := s.sendBody()
	// The proxy may stop reading before the request has ended: then its answer comes.
	if refused := (*fs.PathError)(nil); err != nil && !errors.As(err, &refused) && !s.answered.Load() {
		s.broken()
	}
}

// receive brings the proxy's answer to the client.
func (s *stream) receive() error {
	from := newAnswerReader(s.file)
	response, err := s.head(from)
	if err != nil {
		return s.unanswered()
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return s.tunnel(response, from)
	}
	if isWebSocket(s.request) && response.StatusCode < http.StatusMultipleChoices {
		badAnswer.write(s.answer) // 2xx would open the tunnel (RFC 8441 section 5)
		return nil
	}
	writeHead(s.answer, response, response.StatusCode)
	if err = s.copyBody(response.Body); err != nil {
		return err
	}
	for name, values := range response.Trailer {
		s.answer.Header()[http.TrailerPrefix+name] = values
	}
	return nil
}

// head returns the head of the final answer, and passes interim ones on.
func (s *stream) head(from *answerReader) (*http.Response, error) {
	for {
		response, err := from.response(s.request)
		if err != nil || response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
		if response.StatusCode != http.StatusContinue { // which the library sends when it is due
			writeHead(s.answer, response, response.StatusCode)
			clear(s.answer.Header())
		}
	}
}

// unanswered ends a request that has got no answer.
func (s *stream) unanswered() error {
	if err := s.request.Context().Err(); err != nil {
		return err
	}
	badAnswer.write(s.answer)
	return nil
}

// copyBody sends what a body brings, each piece as it comes.
func (s *stream) copyBody(body io.Reader) error {
	buffer := buffers.Get().(*[readBytes]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			if _, err := s.answer.Write(buffer[:n]); err != nil {
				return err
			}
			if err := s.flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			if s.entrance.WasCut() {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
