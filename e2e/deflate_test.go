package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"wsplice/e2e/internal/rig"
)

// permessage-deflate in endpoint mode, by the sections of RFC 7692.

const (
	offerDeflate  = "Sec-WebSocket-Extensions: permessage-deflate"
	agreedDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

	// deflateBound is message_bytes of /limited.
	deflateBound = 1 << 20
)

func startDeflate(t *testing.T) *rig.Proxy {
	t.Helper()
	echo := rig.NewBackend(t, (*rig.BackendConn).Echo)
	return startWith(t, rig.Config{Warned: true}, fmt.Sprintf(`
- {path: /text, mode: endpoint, deflate: on, to: "tcp://%%[1]s"}
- {path: /binary, mode: endpoint, deflate: on, frame_type: binary, to: "tcp://%%[1]s"}
- {path: /limited, mode: endpoint, deflate: on, frame_type: binary, to: "tcp://%%[1]s", tunnel: {message_bytes: %d}}
- {path: /off, mode: endpoint, deflate: off, to: "tcp://%%[1]s"}`, deflateBound), echo)
}

// TestDeflateOffers is RFC 7692 sections 5 and 7.1: the first offer that can be
// taken is, and without one there is no extension.
func TestDeflateOffers(t *testing.T) {
	proxy := startDeflate(t)
	for want, offers := range map[string][]string{
		agreedDeflate: {
			"permessage-deflate",
			"permessage-deflate; client_max_window_bits",
			"permessage-deflate; client_max_window_bits=9; server_no_context_takeover",
			"permessage-deflate; server_max_window_bits=10, permessage-deflate",
			"x-webkit-deflate-frame, permessage-deflate; client_no_context_takeover",
		},
		agreedDeflate + "; server_max_window_bits=15": {
			"permessage-deflate; server_max_window_bits=15",
		},
		"": {
			"permessage-deflate; server_max_window_bits=10",
			"permessage-deflate; server_max_window_bits=7",
			"permessage-deflate; client_max_window_bits=16",
			"permessage-deflate; client_no_context_takeover; client_no_context_takeover",
			"permessage-deflate; client_no_context_takeover=yes",
			"permessage-deflate; unknown",
			"permessage-bzip2",
		},
	} {
		for _, offered := range offers {
			client := rig.Dial(t, proxy.Addr(0))
			client.Put(rig.UpgradeRequest("/text", "Sec-WebSocket-Extensions: "+offered))
			a := client.Answer()
			if got := a.Header.Get("Sec-WebSocket-Extensions"); a.Status != 101 || got != want {
				t.Errorf("%q: %d and %q, want %q", offered, a.Status, got, want)
			}
			_ = client.Close()
		}
	}
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(rig.UpgradeRequest("/off", offerDeflate))
	if a := client.Answer(); a.Status != 101 || a.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("deflate: off answers %q", a.Raw)
	}
	client.Put(asCompressed(textFrame("x")))
	wantFarewell(t, client, ws.StatusProtocolError)
	proxy.WaitTunnels(0)
}

// asCompressed sets RSV1 in a frame.
func asCompressed(frame string) string { return string([]byte{frame[0] | 0x40}) + frame[1:] }

// packed is a payload as a client compresses it.
func packed(payload string) string {
	b, err := wsflate.DefaultHelper.Compress([]byte(payload))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// packedFrames is a compressed message in so many frames.
func packedFrames(op ws.OpCode, payload string, frames int) (all []string) {
	b := packed(payload)
	for i := range frames {
		part := b[len(b)*i/frames : len(b)*(i+1)/frames]
		if i == 0 {
			all = append(all, asCompressed(maskedFrame(op, frames == 1, part)))
		} else {
			all = append(all, maskedFrame(ws.OpContinuation, i == frames-1, part))
		}
	}
	return all
}

// deflateCases are those of TestDeflateConformance.
func deflateCases() []conformance {
	long := strings.Repeat("{\"key\":\"välue\"},", 5000)
	half := packed(long)
	two := append(packedFrames(ws.OpText, "first ", 1), packedFrames(ws.OpText, "second", 1)...)
	bomb := packedFrames(ws.OpBinary, strings.Repeat("\x00", 10<<20), 1)
	return []conformance{
		carries("6", "text", "Hello", packedFrames(ws.OpText, "Hello", 1)...),
		carries("6", "binary", "Hello", packedFrames(ws.OpBinary, "Hello", 1)...),
		carries("6", "two messages", "first second", two...),
		carries("6", "beside one that is not", "plain first second", append([]string{textFrame("plain ")}, two...)...),
		carries("6", "long", long, packedFrames(ws.OpText, long, 1)...),
		carries("6", "fragments", long, packedFrames(ws.OpText, long, 7)...),
		carries("6", "fragments of a byte", "Hello", packedFrames(ws.OpText, "Hello", len(packed("Hello")))...),
		{
			section: "6", name: "control frames between", echo: long, pongs: []string{"1", "2"},
			frames: []string{
				asCompressed(begun(half[:100])), pingFrame("1"), onward(half[100:200]), pongFrame("x"), onward(""),
				pingFrame("2"), onward(half[200:]), finished(""),
			},
		},
		ends("6.1", "RSV1 on a continuation", 1002, begun("a"), asCompressed(finished("b"))).behind("a"),
		ends("6.1", "RSV1 on each fragment", 1002, asCompressed(begun(half[:9])), asCompressed(finished(half[9:]))),
		ends("6.1", "RSV1 on a ping", 1002, asCompressed(pingFrame("x"))),
		ends("6.1", "RSV1 on a close", 1002, asCompressed(closingFrame(codeBody(1000, "")))),
		ends("6.1", "RSV2", 1002, string([]byte{0xa1})+textFrame("x")[1:]),
		carries("7.2.3.1", "one block", "Hello", asCompressed(textFrame("\xf2\x48\xcd\xc9\xc9\x07\x00"))),
		carries("7.2.3.1", "in two fragments", "Hello", asCompressed(begun("\xf2\x48\xcd")), finished("\xc9\xc9\x07\x00")),
		carries("7.2.3.3", "no compression", "Hello", asCompressed(textFrame("\x00\x05\x00\xfa\xffHello\x00"))),
		carries("7.2.3.4", "BFINAL", "Hello", asCompressed(textFrame("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))),
		carries("7.2.3.5", "two blocks", "Hello", asCompressed(textFrame("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"))),
		carries("7.2.3.6", "empty", "x", asCompressed(textFrame("\x00")), textFrame("x")),
		carries("7.2.3.6", "empty, three fragments", "x", asCompressed(begun("")), onward("\x00"), finished(""), textFrame("x")),
		ends("7.2.2", "no deflate", 1007, asCompressed(binaryFrame("\x07\x01\x02"))),
		ends("7.2.2", "cut", 1007, asCompressed(textFrame(half[:50]))).behind(long),
		ends("7.2.2", "a context that was not kept", 1007, asCompressed(textFrame("\xf2\x00\x11\x00\x00"))).behind("H"),
		ends("8.1", "text that is none", 1007, packedFrames(ws.OpText, "a\xc0", 1)...).behind("a"),
		ends("8.1", "text that is cut", 1007, packedFrames(ws.OpText, "a\xe2\x82", 2)...).behind("a"),
		carries("8.1", "a character in two fragments", "日本語日本語", packedFrames(ws.OpText, "日本語日本語", 3)...),
		carries("8", "as large as allowed", strings.Repeat("x", deflateBound),
			packedFrames(ws.OpBinary, strings.Repeat("x", deflateBound), 3)...).on("/limited"),
		ends("8", "a byte more", 1009, packedFrames(ws.OpBinary, strings.Repeat("x", deflateBound+1), 3)...).
			on("/limited").behind(strings.Repeat("x", deflateBound)),
		ends("8", "bomb", 1009, bomb...).on("/limited").behind(strings.Repeat("\x00", deflateBound)),
		ends("8", "bomb without a bound", 1009, packedFrames(ws.OpBinary, strings.Repeat("\x00", 40<<20), 1)...).
			on("/binary").behind(strings.Repeat("\x00", 40<<20)),
		ends("8", "announced too large", 1009, rawHeader(0xc2, 127, 0, 0, 0, 0, 0, 0x20, 0, 0)).on("/limited"),
	}
}

func TestDeflateConformance(t *testing.T) {
	proxy := startDeflate(t)
	for _, c := range deflateCases() {
		name := c.section + "/" + c.name
		t.Run(name, func(t *testing.T) { c.runDeflated(t, proxy.In(t), 0) })
		if size := len(strings.Join(c.frames, "")); size > 1 && size <= piecesBytesMax {
			t.Run(name+"/in pieces", func(t *testing.T) { c.runDeflated(t, proxy.In(t), 1) })
		}
	}
	proxy.WaitTunnels(0)
}

// runDeflated is run for a client that has agreed on compression.
func (c conformance) runDeflated(t *testing.T, proxy *rig.Proxy, step int) {
	client := openEndpoint(t, proxy, or(c.route, "/text"), offerDeflate)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		client.Offer(strings.Join(c.frames, ""), step)
	}()
	var got strings.Builder
	var pongs []string
	code := stillOpen
	for code == stillOpen && (c.code != stillOpen || got.Len() < len(c.echo) || len(pongs) < len(c.pongs)) {
		switch f := nextInflated(t, client); f.Header.OpCode {
		case ws.OpText, ws.OpBinary:
			got.Write(f.Payload)
		case ws.OpPong:
			pongs = append(pongs, string(f.Payload))
		default:
			code, _ = ws.ParseCloseFrameData(f.Payload)
		}
	}
	<-sent
	if code != c.code {
		t.Fatalf("Close %d, want %d", code, c.code)
	}
	if code == stillOpen {
		client.Put(closeFrame(client, ws.StatusNormalClosure, ""))
		wantClose(t, client, ws.StatusNormalClosure)
	}
	client.WantEnd()
	_ = client.Close()
	if code == stillOpen && got.String() != c.echo || !strings.HasPrefix(c.echo, got.String()) {
		t.Errorf("echo of %d bytes %.60q, want %d bytes %.60q", got.Len(), got.String(), len(c.echo), c.echo)
	}
	if strings.Join(pongs, "|") != strings.Join(c.pongs, "|") {
		t.Errorf("pongs %q, want %q", pongs, c.pongs)
	}
}

// nextInflated reads a frame, whose message is expanded if it was compressed.
func nextInflated(t *testing.T, client *rig.Client) ws.Frame {
	t.Helper()
	f := nextFrame(t, client)
	compressed, two, three := ws.RsvBits(f.Header.Rsv)
	if two || three || compressed && f.Header.OpCode.IsControl() || !f.Header.Fin {
		t.Fatalf("a frame %+v", f.Header)
	}
	if compressed {
		var err error
		if f.Payload, err = wsflate.DefaultHelper.Decompress(f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestDeflateClients has real clients compress, and read what wsplice compresses.
func TestDeflateClients(t *testing.T) {
	proxy := startDeflate(t)
	for _, l := range libraries() {
		for path, message := range map[string]func(int) message{"/text": textMessage, "/binary": binaryMessage} {
			t.Run(l.name+path, func(t *testing.T) {
				pair := interopPair{client: l, url: proxy.In(t).URL(0) + path}
				c, _ := pair.open(t, "", offer{deflate: true})
				if !c.deflates() {
					t.Fatal("no extension was agreed on")
				}
				for _, size := range []int{1, 125, 126, 1000, 4000, 65_536, 1 << 20} {
					for _, fragments := range []int{1, 4} {
						echoInPieces(t, c, message(size), fragments)
					}
				}
				pingAndClose(t, c)
			})
		}
	}
	proxy.WaitTunnels(0)
}

// echoInPieces sends a message, whose bytes come back in whatever messages.
func echoInPieces(t *testing.T, c peerConn, m message, fragments int) {
	t.Helper()
	if err := c.send(m, fragments); err != nil {
		t.Fatalf("send %d bytes: %v", len(m.data), err)
	}
	var got []byte
	for len(got) < len(m.data) {
		part := rig.Receive(t, c.messages(), fmt.Sprintf("%d bytes of %d", len(m.data)-len(got), len(m.data)))
		if part.text != m.text || len(part.data) == 0 {
			t.Fatalf("a message of %d bytes, text=%v", len(part.data), part.text)
		}
		got = append(got, part.data...)
	}
	if !bytes.Equal(got, m.data) {
		t.Fatalf("sent %d bytes, other %d bytes came back", len(m.data), len(got))
	}
}

// TestDeflateBombs sends bombs on many connections: memory stays where it was, and
// others are served meanwhile.
func TestDeflateBombs(t *testing.T) {
	const bombers, zeros = 20, 60 << 20
	sink := rig.NewBackend(t, nil)
	echo := rig.NewBackend(t, (*rig.BackendConn).Echo)
	proxy := startWith(t, rig.Config{Warned: true}, `
- {path: /sink, mode: endpoint, deflate: on, to: "tcp://%[1]s", tunnel: {message_bytes: 64MiB}}
- {path: /, mode: endpoint, deflate: on, to: "tcp://%[2]s"}`, sink, echo)
	other := openEndpoint(t, proxy, "/", offerDeflate)
	bomb := strings.Join(packedFrames(ws.OpBinary, strings.Repeat("\x00", zeros), 1), "")
	before := proxy.RSS()
	for range bombers {
		client := openEndpoint(t, proxy, "/sink", offerDeflate)
		sink.In(t).Next() // and nobody reads it
		client.Put(bomb)
	}
	var longest time.Duration
	for range 200 {
		begin := time.Now()
		other.Put(strings.Join(packedFrames(ws.OpText, "quick", 1), ""))
		wantFrame(t, other, ws.OpText, "quick")
		longest = max(longest, time.Since(begin))
	}
	// What is expanded waits in the kernel and in parked_bytes, twice 64 KiB each.
	grown := (proxy.RSS() - before) / bombers
	t.Logf("%d bytes of memory for each bomb of %d that becomes %d; the longest echo took %v", grown, len(bomb), zeros, longest)
	if grown > 1<<20 {
		t.Errorf("each bomb takes %d bytes of memory", grown)
	}
	if longest > time.Second {
		t.Errorf("an echo took %v", longest)
	}
	runtime.KeepAlive(other)
}

// TestDeflateInChromium has a browser compress, which offers it by itself.
func TestDeflateInChromium(t *testing.T) {
	chromium := findChromium(t)
	proxy := startDeflate(t)
	ctx := newBrowser(t, chromium)
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	do(t, ctx, "open a page", chromedp.Navigate(page.URL))
	do(t, ctx, "talk", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`
		window.seen = '';
		window.text = 'wörld 🦀 '.repeat(20000);
		const socket = new WebSocket('%s/text');
		socket.onopen = () => { window.agreed = socket.extensions; socket.send(window.text); };
		socket.onmessage = (e) => { window.seen += e.data; };
		socket.onclose = (e) => { window.ended = e.code; };
		window.socket = socket;
		''`, proxy.URL(0))))
	do(t, ctx, "see the echo", untilJS(`window.seen.length === window.text.length`))
	if read(t, ctx, `String(window.seen === window.text)`) != "true" {
		t.Error("another text came back")
	}
	if agreed := read(t, ctx, `window.agreed`); !strings.Contains(agreed, "permessage-deflate") {
		t.Errorf("Chromium says that it agreed on %q", agreed)
	}
	do(t, ctx, "close", chromedp.Evaluate[chromedp.Void](`window.socket.close(4000); ''`))
	do(t, ctx, "see the end", untilJS(`window.ended === 4000`))
}
