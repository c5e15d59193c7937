package rig

import (
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Serve runs a server of another make until the end of the test, and returns
// when it is ready, such as by Listens. about is what to say of it where it ends
// before.
func Serve(t testing.TB, cmd *exec.Cmd, ready func() bool, about func() string) {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
	})
	Eventually(t, Soon, cmd.Path+" is ready", func() bool {
		select {
		case <-exited:
			t.Fatalf("%s ended: %s\n%s", cmd.Path, said.String(), about())
		default:
		}
		return ready()
	})
}

// Listens reports whether connections are taken at address, host:port or
// unix:/path.
func Listens(address string) bool {
	network, rest := SplitAddress(address)
	conn, err := net.Dial(network, rest)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// answers reports whether an HTTP server answers at address. A connection
// alone proves nothing: Apache listens before it has read all it needs.
func answers(address string) bool {
	c, err := DialErr(address)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		return false
	}
	_, err = c.AnswerErr()
	return err == nil
}
