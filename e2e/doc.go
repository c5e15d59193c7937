// Package e2e holds the tests that run the built binary: real clients, real
// backends, a real browser, and hostile bytes on both sides of it.
//
// It does not import the product. It knows it as its users do, through the
// command line, the configuration file, the wire, the log and /metrics; so a
// test here can only fail for something a user could notice.
//
// It is a module of its own, because the WebSocket libraries and the browser
// driver it needs would otherwise stand in the product's go.mod. README.md
// says how to run it and what the environment variables do.
package e2e
