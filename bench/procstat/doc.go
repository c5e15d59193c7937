// Package procstat reads from /proc what the bench measures: the CPU time and
// the memory of processes and the CPU time of the machine.
//
// It does not start or end processes. Its functions keep no state.
package procstat
