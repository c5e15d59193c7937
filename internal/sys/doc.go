// Package sys holds every system call wsplice makes itself and is the only
// importer of golang.org/x/sys/unix.
//
// It does not know loops, tunnels or HTTP: each function is one system call
// with its traps handled (EINTR is retried, descriptors are close-on-exec and
// non-blocking), answering with the raw errno so that the hot path allocates
// nothing.
//
// Functions are safe from any goroutine unless they say otherwise. Calls on
// non-blocking descriptors go through RawSyscall: the Go scheduler is not told,
// because they return in about a microsecond and telling it costs more.
package sys
