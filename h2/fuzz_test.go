package h2

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// decoded is what the library makes of a header list on its way.
func decoded(list []string, end bool) (*http2.MetaHeadersFrame, error) {
	var wire, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(list); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]}) // block takes all
	}
	framer := http2.NewFramer(&wire, &wire)
	framer.ReadMetaHeaders = hpack.NewDecoder(defaultTable, nil)
	framer.MaxHeaderListSize = 16 << 10
	param := http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true}
	if err := framer.WriteHeaders(param); err != nil {
		return nil, err
	}
	f, err := framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	meta, ok := f.(*http2.MetaHeadersFrame)
	if !ok {
		return nil, errors.New("no HEADERS")
	}
	return meta, nil
}

// behind is the next request on a connection, if there could be one.
const behind = "GET /behind HTTP/1.1\r\nHost: behind\r\n\r\n"

// FuzzRequest makes one of HTTP/1.1 of any header list, body and trailer, and lets
// net/http read it: it is what was sent, and nothing follows. Names and values stand
// in turn in list, separated by the byte 0.
func FuzzRequest(f *testing.F) {
	for _, list := range [][]string{
		get, post, open, with(get, "host", "a", "cookie", "a", "cookie", "b", "te", "trailers", "x", "a\tb"),
		with(post, "content-length", "4"), with(post, "content-length", "0", "content-length", "0"),
		with(open, "sec-websocket-key", "x", "content-length", "3"), with(get, ":path", "/a b", "x", " y"),
		with(get, ":path", "/\x7f\xff", ":authority", "[::1]:8"), with(get, ":path", "*", ":method", "OPTIONS"),
		with(without(get, ":authority"), "host", "b", "pragma", "no-cache", "expect", "100-continue"),
		with(get, "x", "y\r\nz: a", "\r\nx", "y"), with(post, "transfer-encoding", "chunked"),
	} {
		f.Add(strings.Join(list, "\x00"), []byte("body"), "x-sum\x001\x00content-length\x003", false)
		f.Add(strings.Join(list, "\x00"), []byte{}, "", true)
	}
	c := &conn{lane: New(Config{Head: 16 << 10, WebSockets: true, Log: quiet})}
	f.Fuzz(func(t *testing.T, list string, body []byte, trailer string, end bool) {
		meta, err := decoded(strings.Split(list, "\x00"), end)
		if err != nil {
			return
		}
		r, err := c.parse(meta)
		if err != nil || r.refusal != nil {
			return
		}
		wire := bytes.NewBuffer(r.head)
		switch {
		case r.websocket || end:
			body = nil
		case r.length >= 0:
			if int64(len(body)) < r.length {
				return
			}
			body = body[:r.length]
			wire.Write(r.chunk(body))
		default:
			for _, part := range bytes.SplitAfter(body, []byte{'\n'}) {
				if len(part) > 0 {
					wire.Write(r.chunk(part))
				}
			}
		}
		var tail []hpack.HeaderField
		if list := strings.Split(trailer, "\x00"); r.chunked && trailer != "" {
			end, err := decoded(list, true)
			if err != nil || len(end.PseudoFields()) > 0 || end.Truncated {
				return
			}
			var ok bool
			if _, ok = readFields(end.Fields); !ok {
				return
			}
			tail = end.Fields
		}
		wire.Write(r.end(tail))
		wire.WriteString(behind)
		sameRequest(t, meta, r, bufio.NewReader(wire), body, tail)
	})
}

// sameRequest reads the request, and what is behind it.
func sameRequest(
	t *testing.T, meta *http2.MetaHeadersFrame, r *request, from *bufio.Reader, body []byte, tail []hpack.HeaderField,
) {
	p := pseudoOf(meta)
	if _, err := url.ParseRequestURI(p.path); err != nil || strings.Contains(string(r.head), "\r\nTrailer: ") {
		return // net/http takes some less
	}
	got, err := http.ReadRequest(from)
	if err != nil {
		t.Fatalf("%v: %q", err, r.head)
	}
	host := p.authority
	if !p.hasAuthority {
		host = header(meta.RegularFields()).Get("Host")
	}
	if got.Method != r.method || got.RequestURI != p.path || got.Host != host || got.Proto != "HTTP/1.1" {
		t.Errorf("%s %s of %q: %q", got.Method, got.RequestURI, got.Host, r.head)
	}
	want := header(meta.RegularFields())
	if r.websocket {
		want["Upgrade"], want["Connection"] = []string{"websocket"}, []string{"Upgrade"}
		want["Sec-Websocket-Key"] = got.Header["Sec-Websocket-Key"]
		delete(want, "Sec-Websocket-Accept")
		if len(want["Sec-Websocket-Key"]) != 1 {
			t.Errorf("not one key: %q", r.head)
		}
	}
	if list, ok := want["Cookie"]; ok {
		want["Cookie"] = []string{strings.Join(list, "; ")}
	}
	if slices.Equal(want["Pragma"], []string{"no-cache"}) && want["Cache-Control"] == nil {
		delete(got.Header, "Cache-Control") // of net/http
	}
	for _, name := range []string{"Host", "Content-Length", "Te", "Http2-Settings"} {
		delete(want, name)
	}
	if r.length >= 0 {
		want["Content-Length"] = []string{strconv.FormatInt(r.length, 10)}
	}
	if !maps.EqualFunc(got.Header, want, slices.Equal) {
		t.Errorf("fields are %q, sent were %q", got.Header, want)
	}
	read, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(read, body) {
		t.Errorf("body %q, %v, sent was %q", read, err, body)
	}
	want = header(tail)
	for _, name := range []string{"Host", "Content-Length", "Te", "Cookie", "Http2-Settings"} {
		delete(want, name)
	}
	if !maps.EqualFunc(got.Trailer, want, slices.Equal) {
		t.Errorf("the trailer is %q, sent was %q", got.Trailer, want)
	}
	if rest, err := io.ReadAll(from); string(rest) != behind || err != nil {
		t.Errorf("behind the request are %q, %v", rest, err)
	}
}

// header is a list as net/http has it.
func header(list []hpack.HeaderField) http.Header {
	h := http.Header{}
	for _, f := range list {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		h[name] = append(h[name], f.Value)
	}
	return h
}

// FuzzFrames sends anything behind the preface: the connection ends with it, and with
// it what was begun.
func FuzzFrames(f *testing.F) {
	var wire, block bytes.Buffer
	framer, encoder := http2.NewFramer(&wire, nil), hpack.NewEncoder(&block)
	framer.AllowIllegalWrites = true
	for i, head := range [][]string{get, post, open} {
		block.Reset()
		for at := 0; at < len(head); at += 2 {
			_ = encoder.WriteField(hpack.HeaderField{Name: head[at], Value: head[at+1]})
		}
		id := uint32(2*i + 1)
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		_ = framer.WriteDataPadded(id, false, []byte("data"), []byte{0, 0})
		_ = framer.WriteWindowUpdate(id, 10)
		_ = framer.WriteSettings(initialWindow(uint32(i)))
		_ = framer.WriteData(id, true, []byte("data"))
		_ = framer.WritePriority(id, http2.PriorityParam{StreamDep: 7})
		_ = framer.WritePing(false, [8]byte{})
		f.Add(bytes.Clone(wire.Bytes()))
		_ = framer.WriteRSTStream(id, http2.ErrCodeCancel)
		_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
		f.Add(bytes.Clone(wire.Bytes()))
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		near, far := pair(t)
		h := &house{serve: echo}
		l := New(Config{Head: 16 << 10, WebSockets: true, Log: quiet})
		over := make(chan struct{})
		l.Serve(far, false, h, func() { close(over) })
		if err := near.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = near.Write(append([]byte(http2.ClientPreface+string(frame(4, 0, 0))), frames...)) // it may end before
			_ = near.(*net.UnixConn).CloseWrite()
		}()
		framer := http2.NewFramer(nil, near)
		framer.ReadMetaHeaders = hpack.NewDecoder(defaultTable, nil)
		for {
			_, err := framer.ReadFrame()
			if err == nil {
				continue
			}
			var netError net.Error
			if errors.As(err, &netError) && netError.Timeout() {
				t.Fatal("the connection goes on")
			}
			if errors.As(err, new(http2.ConnectionError)) || errors.As(err, new(http2.StreamError)) {
				t.Fatalf("what came is no HTTP/2: %v", err)
			}
			break
		}
		within(t, "the connection ends", over)
		l.Close()
		h.doors.Wait()
		if n := h.inside.Load(); n != 0 {
			t.Errorf("%d entrances were not given back", n)
		}
	})
}
