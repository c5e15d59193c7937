package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"wsplice/e2e/internal/rig"
)

// The screen of the VNC server, all of which is one window.
const (
	screenWidth, screenHeight = 640, 480
	firstColour, secondColour = 0x3366cc, 0xcc6633
)

// novncPage shows the screen where the page begins, so that both have the same
// coordinates.
const novncPage = `<!DOCTYPE html><title>noVNC</title>
<body style="margin: 0"><div id="screen" style="width: %dpx; height: %dpx"></div>
<script type="module">
import RFB from '/novnc/core/rfb.js';
window.state = 'connecting';
window.rfb = new RFB(document.getElementById('screen'), '%s/vnc', { wsProtocols: ['binary'] });
rfb.addEventListener('connect', () => { window.state = 'connected'; rfb.focus(); });
rfb.addEventListener('disconnect', (e) => { window.state = e.detail.clean ? 'left' : 'lost'; });
window.pixel = (x, y) => {
  const [r, g, b] = document.querySelector('canvas').getContext('2d').getImageData(x, y, 1, 1).data;
  return r << 16 | g << 8 | b;
};
</script>`

// TestNoVNCInChromium sees and uses the screen of a VNC server in a browser: with
// noVNC, which speaks binary messages, through an endpoint to a socket that knows
// no WebSocket.
func TestNoVNCInChromium(t *testing.T) {
	needsWsplice(t)
	needsNPM(t)
	chromium := findChromium(t)
	display, socket := startVNC(t)
	window := openWindow(t, display, firstColour)

	files := http.NewServeMux()
	page := httptest.NewUnstartedServer(files)
	origin := "http://" + page.Listener.Addr().String()
	proxy := rig.Start(t, rig.Config{Warned: true, Routes: fmt.Sprintf(
		`- {path: /vnc, mode: endpoint, frame_type: binary, subprotocols: [binary], origins: [%q], to: "unix:%s"}`,
		origin, socket)})
	files.Handle("/novnc/", http.StripPrefix("/novnc/", http.FileServer(http.Dir(nodeDir+"/node_modules/@novnc/novnc"))))
	files.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, novncPage, screenWidth, screenHeight, proxy.URL(0))
	})
	page.Start()
	t.Cleanup(page.Close)

	ctx := newBrowser(t, chromium)
	do(t, ctx, "open the page", chromedp.Navigate(origin))
	do(t, ctx, "connect", untilJS(`window.state === 'connected'`))
	showsEverywhere := func(colour int) string {
		return fmt.Sprintf(`pixel(0, 0) === %d && pixel(%d, %d) === %[1]d`, colour, screenWidth-1, screenHeight-1)
	}
	do(t, ctx, "see the window", untilJS(showsEverywhere(firstColour)))
	window.paint(secondColour)
	do(t, ctx, "see what changes", untilJS(showsEverywhere(secondColour)))

	do(t, ctx, "click", chromedp.MouseClickXY(123, 45))
	if e := rig.Receive(t, window.buttons, "a button is pressed"); e.Detail != 1 || e.EventX != 123 || e.EventY != 45 {
		t.Errorf("button %d is pressed at %d, %d", e.Detail, e.EventX, e.EventY)
	}
	do(t, ctx, "type", chromedp.KeyEvent("w"))
	if e := rig.Receive(t, window.keys, "a key is pressed"); window.symbol(e.Detail) != 'w' {
		t.Errorf("the key %#x is pressed", window.symbol(e.Detail))
	}
	do(t, ctx, "leave", chromedp.Evaluate[chromedp.Void](`rfb.disconnect()`))
	do(t, ctx, "see the end", untilJS(`window.state === 'left'`))
	proxy.WaitTunnels(0)
}

// startVNC runs an X server that is a VNC server, and returns the number of its
// display and the socket for VNC.
func startVNC(t *testing.T) (display, socket string) {
	t.Helper()
	path, err := exec.LookPath("Xtigervnc")
	if err != nil {
		missing(t, "needs Xtigervnc (Debian package tigervnc-standalone-server)")
	}
	socket = filepath.Join(rig.TempDir(t, 0), "vnc")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command(path, "-displayfd", "3", "-geometry", fmt.Sprintf("%dx%d", screenWidth, screenHeight), "-depth", "24",
		"-nolisten", "tcp", "-SecurityTypes", "None", "-rfbport", "-1", "-rfbunixpath", socket)
	cmd.ExtraFiles = []*os.File{w}
	told := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(r)
		told <- strings.TrimSpace(string(text))
	}()
	rig.Serve(t, cmd, func() bool {
		_ = w.Close() // the server has it by now, and closes it when it has told
		select {
		case display = <-told:
			return true
		default:
			return false
		}
	}, func() string { return "" })
	return display, socket
}

// A window covers the screen and takes note of what the user does.
type window struct {
	t       *testing.T
	conn    *xgb.Conn
	id      xproto.Window
	buttons chan xproto.ButtonPressEvent
	keys    chan xproto.KeyPressEvent
}

func openWindow(t *testing.T, display string, colour uint32) *window {
	t.Helper()
	xgb.Logger = log.New(io.Discard, "", 0)
	conn, err := xgb.NewConnDisplay(":" + display)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	w := &window{
		t: t, conn: conn, buttons: make(chan xproto.ButtonPressEvent, 16), keys: make(chan xproto.KeyPressEvent, 16),
	}
	if w.id, err = xproto.NewWindowId(conn); err != nil {
		t.Fatal(err)
	}
	root := xproto.Setup(conn).DefaultScreen(conn)
	w.must(xproto.CreateWindowChecked(conn, root.RootDepth, w.id, root.Root, 0, 0, screenWidth, screenHeight, 0,
		xproto.WindowClassInputOutput, root.RootVisual, xproto.CwBackPixel|xproto.CwEventMask,
		[]uint32{colour, xproto.EventMaskButtonPress | xproto.EventMaskKeyPress}).Check())
	w.must(xproto.MapWindowChecked(conn, w.id).Check())
	w.must(xproto.SetInputFocusChecked(conn, xproto.InputFocusNone, w.id, xproto.TimeCurrentTime).Check())
	go w.watch()
	return w
}

func (w *window) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *window) watch() {
	for {
		event, err := w.conn.WaitForEvent()
		if event == nil && err == nil {
			return // the connection is closed
		}
		switch e := event.(type) {
		case xproto.ButtonPressEvent:
			w.buttons <- e
		case xproto.KeyPressEvent:
			w.keys <- e
		}
	}
}

// paint gives the window another colour.
func (w *window) paint(colour uint32) {
	w.t.Helper()
	w.must(xproto.ChangeWindowAttributesChecked(w.conn, w.id, xproto.CwBackPixel, []uint32{colour}).Check())
	w.must(xproto.ClearAreaChecked(w.conn, false, w.id, 0, 0, 0, 0).Check())
}

// symbol returns what is on a key.
func (w *window) symbol(key xproto.Keycode) xproto.Keysym {
	w.t.Helper()
	mapping, err := xproto.GetKeyboardMapping(w.conn, key, 1).Reply()
	w.must(err)
	return mapping.Keysyms[0]
}
