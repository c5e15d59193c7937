package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Usage is what a process holds that tunnels may hold.
type Usage struct {
	Files      int // descriptors that are no pipe
	Pipes      int // pairs of descriptors
	Goroutines int
	Tunnels    int // slots in use
	Budget     int // descriptors that tunnels can still take, or pipes have
}

// acceptsReserved is how many descriptors of the budget a loop may hold for
// the connection that it accepts next.
const acceptsReserved = 2

// GoroutinesSlack is how far two scrapes of an idle process may differ: each
// scrape is served by goroutines of its own, and the collector has some.
const GoroutinesSlack = 6

// pooledPipesMax is how many empty pipes one event loop may keep for the next
// bulk transfer. A leak shows as more than that, sooner or later.
const pooledPipesMax = 16

// Usage returns what the process holds now.
func (p *Proxy) Usage() Usage {
	p.t.Helper()
	m := p.Metrics()
	u := Usage{
		Goroutines: int(m.Sum("go_goroutines")),
		Tunnels:    int(m.Sum("wsplice_tunnels_open")),
		Budget:     int(m.Sum("wsplice_descriptors_left") + 2*m.Sum("wsplice_pipes_open")),
	}
	u.Files, u.Pipes = openFiles(p.t, p.PID)
	return u
}

// SettledUsage returns what the process holds when two looks in a row agree,
// which is how tests take their starting point.
func (p *Proxy) SettledUsage() Usage {
	p.t.Helper()
	last := p.Usage()
	Eventually(p.t, Soon, "what the process holds is the same twice", func() bool {
		now := p.Usage()
		same := now == last
		last = now
		return same
	})
	return last
}

// WaitUsage ends the test unless the process comes back to start within limit.
// Empty pipes may stay in the pools of its loops.
func (p *Proxy) WaitUsage(limit time.Duration, start Usage) {
	p.t.Helper()
	pooled := pooledPipesMax * runtime.NumCPU()
	reserved := acceptsReserved * runtime.NumCPU()
	var now Usage
	if !Poll(limit, func() bool {
		now = p.Usage()
		return now.Budget >= start.Budget-reserved && now.Files <= start.Files && now.Pipes <= start.Pipes+pooled &&
			now.Tunnels <= start.Tunnels && now.Goroutines <= start.Goroutines+GoroutinesSlack
	}) {
		p.t.Fatalf("not back at the start within %v: %+v, started at %+v (%d pooled pipes allowed)\n%s",
			limit, now, start, pooled, describeFiles(p.PID))
	}
}

// openFiles counts the descriptors of a process. Both ends of a pipe have the
// same inode, so pipes are counted by it.
func openFiles(t testing.TB, pid int) (files, pipes int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]int{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case err != nil: // closed in between
		case strings.HasPrefix(target, "pipe:"):
			inodes[target]++
		default:
			files++
		}
	}
	for _, ends := range inodes {
		// One end alone is a standard stream, which a shell may have given.
		if ends > 1 {
			pipes++
		}
	}
	return files, pipes
}

func describeFiles(pid int) string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	kinds := map[string]int{}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		kind, _, _ := strings.Cut(target, ":[")
		kinds[kind]++
	}
	return fmt.Sprintf("descriptors by kind: %v", kinds)
}

// RSS returns the resident bytes of the process.
func (p *Proxy) RSS() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// CPU returns the processor time the process has used. The kernel counts it
// in hundredths of a second.
func (p *Proxy) CPU() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		p.t.Fatal(err)
	}
	// The name in parentheses may contain spaces; utime and stime are the
	// 12th and 13th fields after it.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		p.t.Fatalf("stat %q", text)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Alive reports whether a process runs. A zombie does not: where its parent is
// not the test, nobody may ever ask for it.
func Alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// Children returns the processes whose parent is pid.
func Children(t testing.TB, pid int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			list = append(list, child)
		}
	}
	return list
}
