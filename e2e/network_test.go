package e2e

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ownNetwork moves the test into a network of its own, which has only loopback.
// What the test listens on, and the processes that it starts, are in there too;
// unix sockets are as ever.
//
// The thread does not come back: it ends with the test's goroutine.
func ownNetwork(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "needs root, for a network of its own (CAP_SYS_ADMIN, CAP_NET_ADMIN)")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		missing(t, "needs a kernel with network namespaces (CONFIG_NET_NS): %v", err)
	}
	ip(t, "link set lo up")
}

// ip configures the network of the test's thread.
func ip(t *testing.T, arguments string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
		missing(t, "needs ip of the Debian package iproute2: ip %s: %v: %s", arguments, err, out)
	}
}
