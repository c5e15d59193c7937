package sys

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NewGroup makes a child of os.StartProcess the leader of a process group of
// its own (setpgid(2)): KillGroup then reaches what it starts too, and the
// signals of a terminal go past it.
func NewGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// KillGroup sends a signal to every process of the group that leader leads
// (kill(2)). The errors are ESRCH, EPERM, and EINVAL for a number that would
// mean other processes than those of one group.
func KillGroup(leader int, signal syscall.Signal) error {
	if leader <= 1 {
		return os.NewSyscallError("kill", EINVAL)
	}
	return os.NewSyscallError("kill", unix.Kill(-leader, signal))
}

// AwaitExit waits for the end of a child and leaves it to be waited for again
// (waitid(2), WNOWAIT): until then its number, and that of its group, are
// nobody else's. It blocks a thread.
func AwaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, EINTR) {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// Exec replaces the program of this process (execve(2)). It returns only when
// that failed.
func Exec(path string, args, env []string) error {
	return os.NewSyscallError("execve", syscall.Exec(path, args, env))
}

// CloseOnExec keeps every open descriptor from first on from the programs that
// this process will start (close_range(2), Linux 5.11).
func CloseOnExec(first FD) error {
	return os.NewSyscallError("close_range", unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC))
}
