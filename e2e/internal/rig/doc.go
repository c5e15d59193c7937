// Package rig starts a wsplice process and plays its client and its backend,
// byte by byte where a test asks for it.
//
// It does not judge: it reports what was seen, and the tests say whether that
// is right. The exception is a process that panics, races, writes a torn log
// line or ends with the wrong status, which is wrong in every test.
//
// Everything waits on an event with a deadline. Functions that take a
// testing.TB end the test on failure, so they belong to the test's own
// goroutine; those that return an error may be called from any.
package rig
