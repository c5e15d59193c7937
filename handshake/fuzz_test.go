package handshake

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// splitPoints are where a fuzzed head is cut in two: everywhere in a short
// one, at some places in a long one.
func splitPoints(n int) (points []int) {
	step := max(1, n/64)
	for i := 0; i <= n; i += step {
		points = append(points, i)
	}
	return points
}

// sameHeader compares the field lines we see with those net/http has kept;
// skip names those it takes out or changes.
func sameHeader(t *testing.T, table *fieldTable, header http.Header, skip ...string) {
	t.Helper()
	ours := http.Header{}
	for i := range table.n {
		name := textproto.CanonicalMIMEHeaderKey(string(table.name(i)))
		ours[name] = append(ours[name], string(table.value(i)))
	}
	if ours.Get("Pragma") == "no-cache" && ours["Cache-Control"] == nil {
		delete(header, "Cache-Control") // net/http adds it
	}
	for _, name := range skip {
		delete(ours, name)
		delete(header, name)
	}
	if len(ours) != len(header) {
		t.Fatalf("names: %v, net/http has %v", ours, header)
	}
	for name, values := range ours {
		if !slices.Equal(values, header[name]) {
			t.Fatalf("%s: %q, net/http has %q", name, values, header[name])
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, c := range malformed {
		if len(c.head) < 2000 {
			f.Add([]byte(c.head), false)
		}
	}
	for _, head := range []string{
		chromeHead, upgradeHead(), upgradeHead("Connection: x, Content-Length, Host", "X: 1", "x_y: 2", "Content-Length: 0"),
		"GET http://h/%7e/../?q HTTP/1.1\r\nHost: H\r\nX:\ty \r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		good + "Transfer-Encoding: chunked\r\nTrailer: a\r\nPragma: no-cache\r\n\r\n0\r\n\r\n",
		good + "Forwarded: for=\"[::1]\"\r\nX-Forwarded-For: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nX-Forwarded-For: a, b\r\nX-Forwarded-For: c\r\n\r\n",
	} {
		f.Add([]byte(head), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, trusted bool) {
		var s HeadScanner
		n, refusal := s.Scan(b)
		for _, i := range splitPoints(len(b)) {
			if gotN, got := scanInTwo(b, i); gotN != n || got != refusal {
				t.Fatalf("%q split at %d: %d %v, whole: %d %v", b, i, gotN, got, n, refusal)
			}
		}
		var r Request
		if n == 0 {
			// Whatever the scanner does not accept, Parse does not either.
			if r.Parse(b) == nil {
				t.Fatalf("Parse accepts %q, Scan has %v", b, refusal)
			}
			return
		}
		if refusal = r.Parse(b[:n]); refusal != nil {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("%q: net/http says %v", b[:n], err)
		}
		if req.Method != string(r.Method()) || req.RequestURI != string(r.Target()) ||
			!strings.EqualFold(req.Host, string(r.Host())) || req.ProtoMinor != r.Minor() {
			t.Fatalf("%q: net/http has %s %s %s", b[:n], req.Method, req.RequestURI, req.Host)
		}
		if req.URL.RawQuery != strings.TrimPrefix(string(r.Query()), "?") {
			t.Fatalf("%q: query %q, net/http has %q", b[:n], r.Query(), req.URL.RawQuery)
		}
		if r.chunks != (req.ContentLength < 0) || !r.chunks && req.ContentLength != r.length {
			t.Fatalf("%q: length %d chunked %v, net/http has %d", b[:n], r.length, r.chunks, req.ContentLength)
		}
		if r.minor == 1 && req.Close == r.KeepAlive() {
			t.Fatalf("%q: keep-alive %v, net/http says close %v", b[:n], r.KeepAlive(), req.Close)
		}
		sameHeader(t, &r.table, req.Header, "Host", "Transfer-Encoding", "Trailer")
		checkForward(t, &r, trusted)
		checkOrdinary(t, &r, trusted)
	})
}

// checkForward reads the rewritten head back.
func checkForward(t *testing.T, r *Request, trusted bool) {
	t.Helper()
	if r.Fields() > fieldsMax-8 {
		return // ours would not fit the table
	}
	target := append(append([]byte("/base"), r.Path()...), r.Query()...)
	out := r.AppendForward(nil, &Forward{
		Target: target, Host: "backend:1", ClientAddr: []byte("2001:db8::1"),
		Proto: "http", Trusted: trusted,
	})
	var again Request
	if refusal := again.Parse(out); refusal != nil {
		t.Fatalf("%q: rewritten: %v", out, refusal)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		t.Fatalf("%q: rewritten: net/http says %v", out, err)
	}
	if req.RequestURI != string(target) || req.Host != "backend:1" || req.ContentLength != 0 || again.HasBody() || req.Close {
		t.Fatalf("%q: rewritten: %s %s", out, req.RequestURI, req.Host)
	}
	for name, want := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"} {
		if !slices.Equal(req.Header[name], []string{want}) {
			t.Fatalf("%q: rewritten: %s %q", out, name, req.Header[name])
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"} {
		if len(req.Header[name]) != 1 {
			t.Fatalf("%q: rewritten: %s %q", out, name, req.Header[name])
		}
	}
	if got := req.Header.Get("X-Forwarded-For"); !strings.HasSuffix(got, "2001:db8::1") || !trusted && got != "2001:db8::1" {
		t.Fatalf("%q: rewritten: X-Forwarded-For %q", out, got)
	}
	for name := range req.Header {
		if strings.Contains(name, "_") {
			t.Fatalf("%q: rewritten: %s", out, name)
		}
	}
	// What gobwas accepts of an accepted upgrade, and it alone, goes out.
	var v Verifier
	refusal := v.Verify(out)
	if r.CheckWebSocket(false) == nil && !r.table.tokens.others && refusal != nil {
		t.Fatalf("%q: gobwas/ws refuses it", out)
	}
	if refusal == nil && (r.table.first[fieldKey] == 0 || string(r.Method()) != "GET") {
		t.Fatalf("%q: gobwas/ws accepts it", out)
	}
}

// checkOrdinary reads the head for net/http back.
func checkOrdinary(t *testing.T, r *Request, trusted bool) {
	t.Helper()
	if r.Fields() > fieldsMax-8 {
		return
	}
	target := append(append([]byte(nil), r.Path()...), r.Query()...)
	out := r.AppendOrdinary(nil, &Forward{Target: target, ClientAddr: []byte("2001:db8::1"), Proto: "http", Trusted: trusted})
	var again Request
	if refusal := again.Parse(out); refusal != nil {
		t.Fatalf("%q: ordinary: %v", out, refusal)
	}
	if again.chunks != r.chunks || again.length != r.length || again.KeepAlive() != r.KeepAlive() ||
		again.Upgrade() != NoUpgrade || len(again.UpgradeField()) > 0 || !bytes.Equal(again.Target(), target) ||
		!bytes.Equal(again.Host(), r.Host()) || again.Minor() != r.Minor() {
		t.Fatalf("%q: ordinary: %q", r.table.head, out)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		t.Fatalf("%q: ordinary: net/http says %v", out, err)
	}
	if got := req.Header["X-Forwarded-For"]; len(got) != 1 || !trusted && got[0] != "2001:db8::1" {
		t.Fatalf("%q: ordinary: X-Forwarded-For %q", out, got)
	}
	if r.chunks != (req.ContentLength < 0) || !r.chunks && req.ContentLength != r.length || req.RequestURI != string(target) {
		t.Fatalf("%q: ordinary: %s with %d bytes", out, req.RequestURI, req.ContentLength)
	}
}

func FuzzResponse(f *testing.F) {
	for _, head := range malformedAnswers {
		if len(head) < 2000 {
			f.Add([]byte(head))
		}
	}
	for _, s := range []string{
		backendHead + "\x81\x00", lines("HTTP/1.1 200 OK",
			"Content-Length: 5") + "hello world", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: A") +
			"5;x\r\nhello\r\n0\r\nA: b\r\n\r\nrest", lines("HTTP/1.0 200 OK") + "until close", lines("HTTP/1.1 304 ",
			"Content-Length: 5") + "x",
		lines("HTTP/1.1 426 Upgrade Required", "Upgrade: websocket", "Connection: upgrade, Content-Length", "Content-Length: 0"),
		lines("HTTP/1.1 200", "Content-Length: 1", "content-length:  1", "Connection: close") + "x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s HeadScanner
		n, refusal := s.ScanResponse(b)
		var r Response
		if n == 0 {
			if r.Parse(b) == nil {
				t.Fatalf("Parse accepts %q, ScanResponse has %v", b, refusal)
			}
			return
		}
		if refusal = r.Parse(b[:n]); refusal != nil {
			return
		}
		source := bytes.NewReader(b)
		reader := bufio.NewReader(source)
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%q: net/http says %v", b[:n], err)
		}
		if res.StatusCode != r.Status() || res.ProtoMinor != int(r.minor) {
			t.Fatalf("%q: status %d, net/http has %d", b[:n], r.Status(), res.StatusCode)
		}
		sameHeader(t, &r.table, res.Header, "Content-Length", "Transfer-Encoding", "Trailer", "Connection")
		_, bodyErr := io.Copy(io.Discard, res.Body)
		read := len(b) - source.Len() - reader.Buffered()

		body := r.Body(false)
		m, done, err := body.Scan(b[n:])
		switch {
		case err != nil:
		case done && (bodyErr != nil || read != n+m):
			t.Fatalf("%q: body of %d bytes, net/http read %d: %v", b, m, read-n, bodyErr)
		case !done && body.Kind() != BodyUntilClose && bodyErr == nil:
			t.Fatalf("%q: body goes on, net/http says %v", b, bodyErr)
		}
		checkReply(t, &r)
	})
}

// checkReply reads the relayed head back.
func checkReply(t *testing.T, r *Response) {
	t.Helper()
	if r.table.n > fieldsMax-2 {
		return
	}
	out := r.AppendReply(nil, true)
	var again Response
	if refusal := again.Parse(out); refusal != nil {
		t.Fatalf("%q: relayed: %v", out, refusal)
	}
	want, got := r.Body(false), again.Body(false)
	if again.Status() != r.Status() || want != got || again.KeepAlive() != (got.Kind() != BodyUntilClose) {
		t.Fatalf("%q: relayed: %q", r.table.head, out)
	}
	if again.table.many[fieldConnection] || again.table.many[fieldContentLength] || again.table.tokens.others ||
		again.table.first[fieldUpgrade] > 0 && r.Status() != 426 {
		t.Fatalf("%q: relayed: %q", r.table.head, out)
	}
}

// What is passed on of an Upgrade field is protocols of it, each once.
func FuzzProtocols(f *testing.F) {
	for _, s := range []string{"websocket", "h2c, WebSocket,websocket", " a/1 ,, b;c, /", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		var r Request
		if r.Parse([]byte(good+"Upgrade: "+field+"\r\n\r\n")) != nil || strings.ContainsAny(field, "\r\n") {
			return
		}
		offered := strings.Split(strings.ToLower(field), ",")
		for i := range offered {
			offered[i] = strings.Trim(offered[i], " \t")
		}
		all := string(r.AppendProtocols(nil, true, nil))
		if (all != "") != r.NamesProtocol() {
			t.Fatalf("%q: %q", field, all)
		}
		seen := make(map[string]bool)
		for p := range strings.SplitSeq(strings.ToLower(all), ", ") {
			if all != "" && (!slices.Contains(offered, p) || seen[p] || strings.ContainsAny(p, " \t;")) {
				t.Fatalf("%q: %q", field, all)
			}
			seen[p] = true
		}
		if some := r.AppendProtocols(nil, false, []string{"websocket"}); string(some) != "websocket" && r.UpgradeHas("websocket") {
			t.Fatalf("%q: %q", field, some)
		}
	})
}
