package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"wsplice/bench/report"
)

// readMachine gathers what a reader needs to place the figures. A fact that
// cannot be read stays empty.
func readMachine() report.Machine {
	m := report.Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	m.CPU = afterColon(read("/proc/cpuinfo"), "model name")
	m.Kernel = strings.TrimSpace(read("/proc/sys/kernel/osrelease"))
	kib, _, _ := strings.Cut(afterColon(read("/proc/meminfo"), "MemTotal"), " ")
	if n, err := strconv.ParseInt(kib, 10, 64); err == nil {
		m.MemoryBytes = n << 10
	}
	average, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	if v, err := strconv.ParseFloat(average, 64); err == nil {
		m.LoadAtStart = v
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		m.OpenFiles = limit.Max
	}
	return m
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// afterColon returns the value of the first "name : value" line.
func afterColon(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
