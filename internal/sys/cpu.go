package sys

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UsableCPUs returns how many CPUs this process can use: the smaller of its
// affinity mask (sched_getaffinity(2)) and its cgroup v2 quota rounded up, and
// at least 1.
func UsableCPUs() int {
	count := 1
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		count = max(set.Count(), 1)
	}
	if quota := cgroupQuota(); quota > 0 {
		count = min(count, quota)
	}
	return count
}

// cgroupQuota returns the CPU quota of this process's cgroup v2 in whole CPUs,
// rounded up, or 0 when there is none.
func cgroupQuota() int {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(membership)), "0::")
	if !ok {
		return 0
	}
	content, err := os.ReadFile("/sys/fs/cgroup" + path + "/cpu.max")
	if err != nil {
		return 0
	}
	return parseQuota(string(content))
}

// parseQuota reads "quota period" or "max period" of cpu.max in microseconds.
func parseQuota(content string) int {
	fields := strings.Fields(content)
	if len(fields) != 2 || fields[0] == "max" {
		return 0
	}
	quota, errQuota := strconv.Atoi(fields[0])
	period, errPeriod := strconv.Atoi(fields[1])
	if errQuota != nil || errPeriod != nil || quota <= 0 || period <= 0 {
		return 0
	}
	return (quota + period - 1) / period
}

// PinThread binds the calling thread to the index-th CPU of its affinity mask.
// The goroutine must be locked to its thread.
func PinThread(index int) error {
	var set, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	index %= max(set.Count(), 1)
	for cpu := range len(set) * 64 {
		if !set.IsSet(cpu) {
			continue
		}
		if index == 0 {
			one.Set(cpu)
			return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &one))
		}
		index--
	}
	return nil
}

// BatchThread marks the calling thread as one that computes (SCHED_BATCH,
// sched(7)): waking it does not preempt what runs. It needs no privilege. The
// goroutine must be locked to its thread.
func BatchThread() error {
	priority := int32(0) // struct sched_param
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_BATCH, uintptr(unsafe.Pointer(&priority)))
	if errno != 0 {
		return os.NewSyscallError("sched_setscheduler", errno)
	}
	return nil
}
