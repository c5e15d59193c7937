package sys

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKillGroupSparesOthers(t *testing.T) {
	for _, leader := range []int{1, 0, -1, -5} {
		if err := KillGroup(leader, 0); !errors.Is(err, EINVAL) {
			t.Errorf("group %d: %v", leader, err)
		}
	}
}

// TestAwaitExitLeavesTheChild ends a group and finds its leader waiting.
func TestAwaitExitLeavesTheChild(t *testing.T) {
	child, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "read x"}, &os.ProcAttr{
		Files: []*os.File{devZero(t), nil, nil}, Sys: NewGroup(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := KillGroup(child.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := AwaitExit(child.Pid); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := child.Wait(); err != nil || state.String() != "signal: killed" {
		t.Errorf("%v, %v", state, err)
	}
	if err := AwaitExit(child.Pid); !errors.Is(err, unix.ECHILD) {
		t.Errorf("after it was reaped: %v", err)
	}
}

// devZero never ends, and has no line.
func devZero(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestRightsCarryDescriptors(t *testing.T) {
	a, b, err := PacketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	control := Rights(a, b)
	if len(control) > RightsSize(2) {
		t.Errorf("two descriptors take %d bytes, more than %d", len(control), RightsSize(2))
	}
	if err := unix.Sendmsg(int(a), []byte("two"), control, nil, 0); err != nil {
		t.Fatal(err)
	}
	data, control := make([]byte, 8), make([]byte, RightsSize(2))
	n, controls, _, _, err := unix.Recvmsg(int(b), data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || !bytes.Equal(data[:n], []byte("two")) {
		t.Fatalf("%q, %v", data[:n], err)
	}
	fds, err := ParseRights(control[:controls])
	if err != nil || len(fds) != 2 {
		t.Fatalf("%v, %v", fds, err)
	}
	for _, fd := range fds {
		fd.Close()
	}
	if fds, err := ParseRights([]byte{1, 2, 3}); err == nil && len(fds) > 0 {
		t.Errorf("garbage is %v", fds)
	}
}

func TestListenBlocking(t *testing.T) {
	path, err := UnixAddr(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []Sockaddr{path, TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)} {
		fd, err := ListenBlocking(&addr, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer fd.Close()
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		bound, err := fd.LocalAddr()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ListenBlocking(&bound, 1); !errors.Is(err, ErrPortTaken) {
			t.Errorf("a second time: %v", err)
		}
	}
}
