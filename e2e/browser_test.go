package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"wsplice/e2e/internal/rig"
)

const (
	demoAddress = "127.0.0.1:8080"
	demoAdmin   = "127.0.0.1:9180"
	// browserLimit bounds the whole visit; a cold Chromium takes seconds.
	browserLimit = 60 * time.Second
	// pageLimit bounds each wait for the page to change.
	pageLimit = 15 * time.Second
)

// TestDemoPageInChromium does what a newcomer does: starts the demo, opens the
// page, sends a message and reads the echo.
func TestDemoPageInChromium(t *testing.T) {
	needsWsplice(t)
	chromium := findChromium(t)
	for _, address := range []string{demoAddress, demoAdmin} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("the demo needs %s, which is taken: %v", address, err)
		}
		_ = ln.Close()
	}
	rig.StartCommand(t, isMsg("ready"), "demo")
	ctx := newBrowser(t, chromium)
	const message = "hello, w\u00f6rld <b>&amp; \U0001f980"
	do(t, ctx, "open the page", chromedp.Navigate("http://"+demoAddress+"/"))
	do(t, ctx, "see the tunnel open", untilJS(`document.querySelector('#state').textContent.trim() === 'open'`))
	do(t, ctx, "empty the field", chromedp.Clear(chromedp.ID("message")))
	do(t, ctx, "type a message", chromedp.SendKeys(chromedp.ID("message"), message))
	do(t, ctx, "click", chromedp.Click(chromedp.ID("send")))
	do(t, ctx, "see the echo", untilJS(`[...document.querySelectorAll('#log li.in')].some(e => e.textContent.includes('hello, '))`))
	do(t, ctx, "see the round-trip time", untilJS(`document.querySelector('#rtt').textContent.trim() !== ''`))
	echoed := read(t, ctx, `[...document.querySelectorAll('#log li.in')].map(e => e.textContent).join('\n')`)
	if !strings.Contains(echoed, message) {
		t.Errorf("typed %q, the page shows the echo %q", message, echoed)
	}
	t.Logf("round trip: %s", read(t, ctx, `document.querySelector('#rtt').textContent.trim()`))
	takePicture(t, ctx)
}

// do runs one step in the browser. When it fails, the page says why.
func do(t *testing.T, ctx context.Context, what string, step chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, step); err != nil {
		takePicture(t, ctx)
		t.Fatalf("%s: %v; the page shows %q", what, err, read(t, ctx, "document.body.innerText"))
	}
}

// untilJS waits until an expression is true in the page.
func untilJS(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(pageLimit))
}

// read returns the value of an expression in the page.
func read(t *testing.T, ctx context.Context, expression string) string {
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Errorf("read %s: %v", expression, err)
	}
	return text
}

// takePicture leaves a screenshot where it outlives the test.
func takePicture(t *testing.T, ctx context.Context) {
	t.Helper()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Errorf("screenshot: %v", err)
		return
	}
	path := filepath.Join(os.TempDir(), "wsplice-demo.png")
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		t.Error(err)
	}
	t.Logf("screenshot: %s", path)
}

func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "needs Chromium (Debian package chromium)")
	return ""
}

// newBrowser starts a Chromium that knows nothing and asks nobody else.
func newBrowser(t *testing.T, path string, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(rig.TempDir(t, 0)),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("ignore-certificate-errors", rig.SecureClients()),
	)
	options = append(options, more...)
	base, cancelLimit := context.WithTimeout(context.Background(), browserLimit)
	t.Cleanup(cancelLimit)
	allocated, cancelAllocated := chromedp.NewExecAllocator(base, options...)
	t.Cleanup(cancelAllocated)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	// Its directory can be removed only after it has gone.
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	return ctx
}
