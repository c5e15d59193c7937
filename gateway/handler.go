package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"wsplice/handshake"
)

// serveHTTP serves the request of a gate.
func (w *Gateway) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	g := gateOf(r.Context())
	a := &answer{ResponseWriter: rw, gate: g, waits: r.ContentLength != 0 && r.Header.Get("Expect") != ""}
	// Otherwise net/http would read, and lose, what the backend is still to get of
	// the body when it begins to answer before the body's end.
	_ = http.NewResponseController(rw).EnableFullDuplex() // HTTP/1 always can
	if r.ContentLength < 0 && r.Trailer == nil {
		r.Trailer = http.Header{} // for trailers that were not announced
	}
	defer a.finish(r)
	w.proxy.ServeHTTP(a, r)
}

// An answer is what the client is answered.
type answer struct {
	http.ResponseWriter
	gate    *gate
	status  int
	refusal *handshake.Refusal
	waits   bool // the client sends the body only when told to continue
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// invented are the fields that net/http adds where the backend sent none.
var invented = [...]string{"Date", "Content-Type"}

// WriteHeader sends a head, interim ones too.
func (a *answer) WriteHeader(status int) {
	if status >= 200 && a.status == 0 {
		a.status = status
		header := a.Header()
		if a.waits && !a.gate.begun.Load() {
			header.Set("Connection", "close") // nobody knows whether the body comes now
		}
		for _, name := range invented {
			if _, present := header[name]; !present {
				header[name] = nil
			}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// finish reports how the request ended, after the last of the answer was written.
func (a *answer) finish(r *http.Request) {
	panicked := recover()
	g := a.gate
	g.mu.Lock()
	g.result.Status, g.result.Refusal = a.status, a.refusal
	if panicked != nil {
		g.result.Aborted = true
	}
	g.mu.Unlock()
	switch {
	case panicked != nil:
		if err, ok := panicked.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			g.gateway.config.Log.Error("gateway panicked", "panic", panicked, "stack", string(debug.Stack()))
		}
		panic(http.ErrAbortHandler)
	case g.complete.Load():
		// Nothing waits for the client any more. net/http is to find the end now,
		// since it begins to watch for a hang-up then.
		_, _ = io.Copy(io.Discard, r.Body)
	default:
		// Whoever is answered early loses its connection: waiting for the rest of
		// the body could take for ever. Without a body net/http does not wait
		// before it closes; the loop lingers.
		g.halt()
		r.Body = http.NoBody
	}
}

// rewrite makes the request for the backend. The head says it all, except which
// server gets it.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL = targetURL(r.In.RequestURI)
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
	r.Out.Trailer = r.In.Trailer // the map itself: it is filled at the body's end
}

// targetURL returns a URL that is written as target, byte for byte. Opaque does
// that, but for a leading "//", which would become an authority; there bytes that
// RFC 3986 does not allow in a path are escaped.
func targetURL(target string) *url.URL {
	if !strings.HasPrefix(target, "//") {
		return &url.URL{Scheme: "http", Opaque: target}
	}
	path, query, hasQuery := strings.Cut(target, "?")
	u := &url.URL{Scheme: "http", Path: path, RawPath: path, RawQuery: query, ForceQuery: hasQuery}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	}
	return u
}

// handleError answers a request that got no answer from a backend.
func handleError(rw http.ResponseWriter, r *http.Request, err error) {
	a := rw.(*answer)
	refusal := a.gate.refusalFor(r.Context(), err)
	if refusal == nil {
		panic(http.ErrAbortHandler)
	}
	a.refusal = refusal
	header := a.Header()
	clear(header)
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(refusal.Detail)+1))
	header.Set("Connection", "close")
	for line := range strings.SplitSeq(strings.TrimSuffix(refusal.Header, "\r\n"), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header.Set(name, value)
		}
	}
	a.WriteHeader(refusal.Status)
	_, _ = io.WriteString(a, refusal.Detail+"\n") // a client that is gone needs no answer
}

// refusalFor says what err is for the client; nil that it is gone, or was cut.
func (g *gate) refusalFor(ctx context.Context, err error) *handshake.Refusal {
	g.mu.Lock()
	fault := g.fault
	g.mu.Unlock()
	if fault != nil {
		return fault
	}
	if ctx.Err() != nil {
		return nil
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		return refused.refusal
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return handshake.RefusalUpgradeTimeout
	}
	var operation *net.OpError
	if errors.As(err, &operation) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "server closed idle connection") { // net/http exports no name for it
		return handshake.RefusalBackendClosed
	}
	return handshake.RefusalBadAnswer
}
