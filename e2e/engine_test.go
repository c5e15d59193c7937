package e2e

import (
	"os"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestEngineAuto reads in the log which engine serves, and what its memory is.
func TestEngineAuto(t *testing.T) {
	proxy := startToBackend(t, rig.EchoBackend(t), rig.Config{Engine: "auto"})
	line := logged(proxy, "engine")
	if line == nil || line.Number("memory_bytes") <= 0 {
		t.Fatalf("the log says of the engine: %v", line)
	}
	if name := line.Text("name"); name != "io_uring" && os.Getenv("REQUIRE_URING") != "" {
		t.Errorf("auto took %s: %v", name, proxy.Logs.Since(0))
	}
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("by the engine of auto's choice")
}

// logged returns the first line with that message, or nil.
func logged(p *rig.Proxy, msg string) rig.Line {
	for _, line := range p.Logs.Since(0) {
		if line.Msg() == msg {
			return line
		}
	}
	return nil
}

// TestEngineAutoWithoutUring runs where a container's profile forbids io_uring.
func TestEngineAutoWithoutUring(t *testing.T) {
	proxy := startToBackend(t, rig.EchoBackend(t), rig.Config{Engine: "auto", NoUring: true})
	if line := logged(proxy, "engine"); line.Text("name") != "epoll" {
		t.Errorf("the engine is %v, want epoll", line)
	}
	line := logged(proxy, "engine: auto falls back to epoll")
	if why := line.Text("because"); !strings.Contains(why, "io_uring is refused") || !strings.Contains(why, "seccomp") {
		t.Errorf("the log does not say why: %v", line)
	}
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("by epoll")
}

// TestEngineUringRefused asks for what cannot be had.
func TestEngineUringRefused(t *testing.T) {
	res := rig.RunFailing(t, rig.Config{
		Engine: "io_uring", NoUring: true, Routes: "- {path: /, to: \"ws://127.0.0.1:1/\"}",
	})
	if res.Code == 0 || !strings.Contains(res.Stderr, "io_uring is refused") || !strings.Contains(res.Stderr, "seccomp") {
		t.Errorf("exit %d, stderr %q", res.Code, res.Stderr)
	}
}
