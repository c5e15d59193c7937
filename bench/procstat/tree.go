package procstat

import "slices"

// OfTree returns the CPU time so far of pid and all its descendants, those
// included that have ended: what the kernel gives to a parent that has waited for
// a child (cutime and cstime of proc_pid_stat(5)) is in Stat. Sched is of the
// living alone, so it may shrink from one call to the next, which [CPU.Best] of the
// difference notices. That pid itself has ended is an error.
func OfTree(pid int) (CPU, error) {
	pids, err := Tree(pid)
	if err != nil {
		return CPU{}, err
	}
	var sum CPU
	// Children before their parents: what a child that ends meanwhile has used is
	// then found at its parent.
	for _, member := range slices.Backward(pids) {
		own, err := Of(member)
		if err != nil {
			if member == pid {
				return CPU{}, err
			}
			continue // it has just ended
		}
		sum.Sched += own.Sched
		sum.Stat += own.Stat
		if fields, err := statFields(member); err == nil {
			sum.Stat += ticks(fields[13]) + ticks(fields[14])
		}
	}
	return sum, nil
}
