// Package testutil holds what the tests of several rooms need: a check for
// leaks, a way to wait without sleeping, connected sockets, and certificates.
//
// It asserts nothing about wsplice itself and is never part of the binary;
// internal/archtest keeps it out.
package testutil
