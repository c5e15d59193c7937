package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of utime, stime and /proc/stat: USER_HZ is 100 on every
// Linux that Go runs on.
const tick = 10 * time.Millisecond

// A CPU is CPU time read in two ways that fail in different places.
type CPU struct {
	// Sched is the sum over the living threads of what the scheduler counted,
	// in nanoseconds; a thread that has exited takes its share with it.
	Sched time.Duration `json:"sched_ns"`

	// Stat is user and system time in ticks of 10 ms, exited threads
	// included.
	Stat time.Duration `json:"stat_ns"`
}

// Add returns c + d.
func (c CPU) Add(d CPU) CPU { return CPU{Sched: c.Sched + d.Sched, Stat: c.Stat + d.Stat} }

// Sub returns c - d.
func (c CPU) Sub(d CPU) CPU { return CPU{Sched: c.Sched - d.Sched, Stat: c.Stat - d.Stat} }

// Best returns Sched, unless so much more is in Stat that threads must have
// exited in between (5% and 40 ms).
func (c CPU) Best() time.Duration {
	if missing := c.Stat - c.Sched; missing > c.Stat/20 && missing > 4*tick {
		return c.Stat
	}
	return c.Sched
}

// Of returns the CPU time so far of all threads of pids, system time
// included. A process that has ended is an error.
func Of(pids ...int) (CPU, error) {
	var sum CPU
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		fields, err := statFields(pid)
		if err != nil {
			return CPU{}, fmt.Errorf("procstat: read CPU time: %w", err)
		}
		sum.Stat += ticks(fields[11]) + ticks(fields[12])
		tasks, err := os.ReadDir(filepath.Join(dir, "task"))
		if err != nil {
			return CPU{}, fmt.Errorf("procstat: read CPU time: %w", err)
		}
		for _, task := range tasks {
			b, err := os.ReadFile(filepath.Join(dir, "task", task.Name(), "schedstat"))
			if errors.Is(err, fs.ErrNotExist) {
				continue // the thread has just exited
			}
			if err != nil {
				return CPU{}, fmt.Errorf("procstat: read CPU time: %w", err)
			}
			ns, _, _ := strings.Cut(string(b), " ")
			sum.Sched += parseDuration(ns, time.Nanosecond)
		}
	}
	return sum, nil
}

// started is what Machine counts from.
var started = time.Now()

// Machine returns the time all CPUs together have been busy since some moment
// that this process keeps; only differences mean anything. They are known to
// 10 ms.
//
// It is what is left of the time that passed when idle time, which the kernel
// measures, is taken away. The busy time in /proc/stat is sampled at ticks
// instead: of work in bursts shorter than a tick, paced by timers that expire
// at ticks too, it has been seen to miss half.
func Machine() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	passed := time.Since(started)
	if err != nil {
		return 0, fmt.Errorf("procstat: read machine: %w", err)
	}
	total, rest, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(total)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("procstat: read machine: unexpected %q", total)
	}
	cpus := 0
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "cpu") {
			break
		}
		cpus++
	}
	// user nice system idle iowait irq softirq steal; see proc_stat(5). What
	// the host stole was not ours to use.
	return time.Duration(cpus)*passed - ticks(f[4]) - ticks(f[5]) - ticks(f[8]), nil
}

// Tree returns pid and all its descendants.
func Tree(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("procstat: list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fields, err := statFields(child)
		if err != nil {
			continue // has just ended
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		children[parent] = append(children[parent], child)
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// statFields returns the fields of /proc/PID/stat from the third, the state,
// on: the second is a name that may hold anything.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("stat of process %d: unexpected %q", pid, b)
	}
	return fields, nil
}

func ticks(s string) time.Duration { return parseDuration(s, tick) }

// parseDuration reads a count of unit; the kernel writes nothing else here.
func parseDuration(s string, unit time.Duration) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * unit
}
