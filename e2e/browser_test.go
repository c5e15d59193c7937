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
	var sent, echoed, rtt string
	var picture []byte
	err := chromedp.Run(ctx,
		chromedp.Navigate("http://"+demoAddress+"/"),
		pollJS(`document.querySelector('#state').textContent.trim() === 'open'`),
		chromedp.SendKeys("#message", message, chromedp.ByQuery),
		chromedp.Value("#message", &sent, chromedp.ByQuery),
		chromedp.Click("#send", chromedp.ByQuery),
		pollJS(`[...document.querySelectorAll('#log li.in')].some(e => e.textContent.includes('hello, '))`),
		chromedp.Text("#log li.in", &echoed, chromedp.ByQuery),
		pollJS(`document.querySelector('#rtt').textContent.trim() !== ''`),
		chromedp.Text("#rtt", &rtt, chromedp.ByQuery),
		chromedp.FullScreenshot(&picture, 90),
	)
	path := filepath.Join(os.TempDir(), "wsplice-demo.png")
	if werr := os.WriteFile(path, picture, 0o644); werr == nil && len(picture) > 0 {
		t.Logf("screenshot: %s", path)
	}
	if err != nil {
		t.Fatalf("in the browser: %v; the page: %s", err, pageText(ctx))
	}
	if sent != message || !strings.Contains(echoed, message) {
		t.Errorf("typed %q, the page sent %q and shows the echo %q", message, sent, echoed)
	}
	t.Logf("round trip: %s", rtt)
}

// pollJS waits until an expression is true in the page.
func pollJS(expression string) chromedp.Action {
	return chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(15*time.Second))
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
func newBrowser(t *testing.T, path string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(rig.TempDir(t, 0)),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	base, cancelLimit := context.WithTimeout(context.Background(), browserLimit)
	t.Cleanup(cancelLimit)
	allocated, cancelAllocated := chromedp.NewExecAllocator(base, options...)
	t.Cleanup(cancelAllocated)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	return ctx
}

// pageText is what the page shows, for the report of a failure.
func pageText(ctx context.Context) string {
	var text string
	if err := chromedp.Run(ctx, chromedp.Text("body", &text, chromedp.ByQuery)); err != nil {
		return err.Error()
	}
	return text
}
