package testutil

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestLeftOverNamesDescriptor(t *testing.T) {
	before := descriptors()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if left := added("descriptor", before, descriptors()); !strings.Contains(left, "/dev/null") {
		t.Errorf("an open file is not named: %q", left)
	}
	f.Close()
	if left := added("descriptor", before, descriptors()); left != "" {
		t.Errorf("a closed file is left over: %q", left)
	}
}

func TestLeftOverNamesReusedDescriptor(t *testing.T) {
	before := map[string]string{"9": "pipe:[1]"}
	if left := added("descriptor", before, map[string]string{"9": "pipe:[2]"}); left == "" {
		t.Error("another file under an old number goes unseen")
	}
}

func TestLeftOverNamesGoroutine(t *testing.T) {
	before := goroutines()
	stop := make(chan struct{})
	go waitForStop(stop)
	Eventually(t, time.Second, "the goroutine is seen", func() bool {
		return strings.Contains(added("goroutine", before, goroutines()), "waitForStop")
	})
	close(stop)
	Eventually(t, time.Second, "the goroutine is gone", func() bool {
		return added("goroutine", before, goroutines()) == ""
	})
}

func waitForStop(stop chan struct{}) { <-stop }

func TestPollReportsThatTimeIsUp(t *testing.T) {
	calls := 0
	if poll(10*time.Millisecond, func() bool { calls++; return false }) || calls < 2 {
		t.Errorf("poll reported success, or looked only %d times", calls)
	}
}

func TestSocketPairIsConnected(t *testing.T) {
	client, server := SocketPair(t)
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if n, err := server.Read(b); n != 1 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
}
