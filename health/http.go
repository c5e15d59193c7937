package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// askHTTP sends a GET over conn. The answer's body is not waited for: the
// status is what counts.
func (p *probe) askHTTP(ctx context.Context, conn net.Conn) error {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	transport := http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocols:              &http1,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: answerBytesMax,
	}
	request := (&http.Request{
		Method: http.MethodGet, URL: p.url, Host: p.host, Header: http.Header{"User-Agent": {userAgent}},
	}).WithContext(ctx)
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("GET: %w", withoutBytes(err))
	}
	// A server that is cut off in its answer may log that as an error.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, answerBytesMax))
	answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("GET: the status is %d, not 2xx or 3xx", answer.StatusCode)
	}
	return nil
}

// errNotHTTP stands for what net/http has to say of an answer, which it quotes:
// a cookie may be in that.
var errNotHTTP = errors.New("the answer is not HTTP, or its head is larger than 64 KiB")

// withoutBytes returns err, unless it could quote the answer.
func withoutBytes(err error) error {
	var socket net.Error
	if errors.As(err, &socket) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errNotHTTP
}
