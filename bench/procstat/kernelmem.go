package procstat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Kernel is memory the kernel holds for the whole machine, in bytes.
type Kernel struct {
	Slab        int64 // sockets, files, inodes, dentries, epoll items and small buffers
	KernelStack int64 // a stack per thread
	PageTables  int64
	Percpu      int64
	Sockets     int64 // what TCP accounts to send and receive queues
}

// Total returns the sum.
func (k Kernel) Total() int64 { return k.Slab + k.KernelStack + k.PageTables + k.Percpu + k.Sockets }

// KernelMemory returns what the kernel holds now. Pages it does not account
// anywhere, such as those of pipes and of io_uring's rings, are not in it.
func KernelMemory() (Kernel, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Kernel{}, fmt.Errorf("procstat: read kernel memory: %w", err)
	}
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return Kernel{}, fmt.Errorf("procstat: read socket memory: %w", err)
	}
	k, err := kernelOf(info, sockets)
	if err != nil {
		return Kernel{}, fmt.Errorf("procstat: read kernel memory: %w", err)
	}
	return k, nil
}

// kernelOf reads the text of /proc/meminfo, in kB, and of /proc/net/sockstat,
// in pages. A field that an older kernel lacks counts as 0, but for Slab.
func kernelOf(info, sockets []byte) (Kernel, error) {
	var k Kernel
	fields := map[string]*int64{
		"Slab:": &k.Slab, "KernelStack:": &k.KernelStack, "PageTables:": &k.PageTables, "Percpu:": &k.Percpu,
	}
	for line := range bytes.Lines(info) {
		words := strings.Fields(string(line))
		if len(words) < 2 || fields[words[0]] == nil {
			continue
		}
		kib, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return k, err
		}
		*fields[words[0]] = kib << 10
	}
	if k.Slab == 0 {
		return k, fmt.Errorf("no Slab line")
	}
	pages, err := tcpPages(string(sockets))
	k.Sockets = pages * int64(os.Getpagesize())
	return k, err
}

func tcpPages(sockstat string) (int64, error) {
	for line := range strings.Lines(sockstat) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if words[i] == "mem" {
				return strconv.ParseInt(words[i+1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no memory of TCP")
}
