// Package uring is the mechanics of an io_uring: the two queues shared with the
// kernel, the entries' layout, and rings of provided buffers (io_uring(7)).
//
// It knows no sockets and keeps no account of operations: that is loop's. A
// Ring belongs to one thread, the one that called Enable: the kernel refuses
// every other (IORING_SETUP_SINGLE_ISSUER).
package uring
