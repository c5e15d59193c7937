package sys

import "golang.org/x/sys/unix"

// Errno is a raw kernel error number; 0 means success.
type Errno = unix.Errno

// The error numbers that the rooms decide on.
const (
	OK            Errno = 0
	EAGAIN              = unix.EAGAIN
	EINTR               = unix.EINTR
	EMFILE              = unix.EMFILE
	ENFILE              = unix.ENFILE
	ENOBUFS             = unix.ENOBUFS
	ENOMEM              = unix.ENOMEM
	EPERM               = unix.EPERM
	EINVAL              = unix.EINVAL
	ENOSYS              = unix.ENOSYS
	EPIPE               = unix.EPIPE
	ECANCELED           = unix.ECANCELED
	EBUSY               = unix.EBUSY
	ETIME               = unix.ETIME
	ECONNRESET          = unix.ECONNRESET
	ECONNREFUSED        = unix.ECONNREFUSED
	ECONNABORTED        = unix.ECONNABORTED
	EINPROGRESS         = unix.EINPROGRESS
	EADDRINUSE          = unix.EADDRINUSE
	EADDRNOTAVAIL       = unix.EADDRNOTAVAIL
	ETIMEDOUT           = unix.ETIMEDOUT
	EPROTO              = unix.EPROTO
	ENOPROTOOPT         = unix.ENOPROTOOPT
	ENETDOWN            = unix.ENETDOWN
	ENETUNREACH         = unix.ENETUNREACH
	ENONET              = unix.ENONET
	EHOSTDOWN           = unix.EHOSTDOWN
	EHOSTUNREACH        = unix.EHOSTUNREACH
	EOPNOTSUPP          = unix.EOPNOTSUPP
)
