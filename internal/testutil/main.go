package testutil

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// settleMax is how long descriptors and goroutines may take to go away after
// the last test.
const settleMax = 2 * time.Second

// Main runs the tests of a package and exits. The run fails, and what is left
// over is printed, where descriptors or goroutines outlive the tests:
//
//	func TestMain(m *testing.M) { testutil.Main(m) }
//
// Each warm is called first. It starts what the process keeps for ever, such
// as the pollers of a library, so that they do not count as left over.
func Main(m *testing.M, warm ...func()) {
	for _, start := range append(warm, startRuntimePoller) {
		start()
	}
	files, routines := descriptors(), goroutines()
	code := m.Run()
	if left := leftOver(files, routines); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "left over after the tests:\n%s", left)
		code = 1
	}
	os.Exit(code)
}

// startRuntimePoller makes Go open the two descriptors of its own poller,
// which it does with the first file that can be polled.
func startRuntimePoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(fmt.Sprintf("testutil: open pipe: %v", err))
	}
	r.Close()
	w.Close()
}

// leftOver waits until everything that was not there before is gone, and
// describes what stays.
func leftOver(files, routines map[string]string) string {
	var left string
	poll(settleMax, func() bool {
		runtime.GC() // closes what only finalizers close
		left = added("descriptor", files, descriptors()) + added("goroutine", routines, goroutines())
		return left == ""
	})
	return left
}

// added describes the entries of after that are not in before.
func added(what string, before, after map[string]string) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(after)) {
		old, ok := before[key]
		if !ok || what == "descriptor" && old != after[key] {
			fmt.Fprintf(&out, "%s %s: %s\n", what, key, after[key])
		}
	}
	return out.String()
}

// descriptors returns what each open descriptor of the process refers to.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(fmt.Sprintf("testutil: %v: leaks cannot be found without /proc", err))
	}
	open := map[string]string{}
	for _, e := range entries {
		// The descriptor that read the directory is gone by now.
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			open[e.Name()] = target
		}
	}
	return open
}

// goroutines returns the stacks of all goroutines but the caller's, by number.
// What belongs to the testing package itself is left out.
func goroutines() map[string]string {
	buf := make([]byte, 4<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	running := map[string]string{}
	for _, stack := range stacks[1:] {
		number, rest, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if !strings.Contains(stack, "created by testing.") && !strings.Contains(stack, "os/signal.") {
			running[number] = rest
		}
	}
	return running
}
