package admission

import (
	"sync/atomic"
	"time"
)

// Rate is a token bucket: it allows so many in a second, and as many at once
// when none were taken for a second.
//
// It keeps one number, the time at which the bucket will be full again. A
// token moves it on by the time in which one comes back, and there is none
// where that leads further ahead than a full bucket takes to fill (the generic
// cell rate algorithm, ITU-T I.371). So it needs neither a lock nor a timer.
type Rate struct {
	start  time.Time
	token  int64        // nanoseconds in which one token comes back; 0 = no limit
	bucket int64        // nanoseconds in which all come back
	full   atomic.Int64 // when the bucket is full, in nanoseconds since start
}

// NewRate returns a full bucket for perSecond tokens, from 1 to a billion, or
// one without a limit where perSecond is not positive.
//
// A token takes a whole number of nanoseconds, so a rate that does not divide
// a billion comes out higher, by at most one in a thousand up to a million in
// a second.
func NewRate(perSecond int) *Rate {
	r := &Rate{start: time.Now()}
	if perSecond > 0 {
		r.token = max(int64(time.Second)/int64(perSecond), 1)
		r.bucket = r.token * int64(perSecond)
	}
	return r
}

// Take takes a token at now, or reports false where there is none. Times should
// have a monotonic clock reading; they need not be in order, but to a caller
// whose time is behind, what came back since has not come back yet.
func (r *Rate) Take(now time.Time) bool {
	if r.token == 0 {
		return true
	}
	at := int64(now.Sub(r.start))
	for {
		full := r.full.Load()
		next := max(full, at) + r.token
		if next-at > r.bucket {
			return false
		}
		if r.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
