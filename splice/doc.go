// Package splice moves the bytes of one direction from one socket to another:
// through a kernel pipe with splice(2) where that is cheaper, and otherwise by
// holding what a slow sink did not take.
//
// It waits for nothing and knows no loop: each call does what can be done now
// and says what it needs next. Everything but Budget belongs to one goroutine.
package splice
