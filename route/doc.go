// Package route says which route takes a request, and what the request's
// target becomes on the way to the backend.
//
// It does no I/O, reads no configuration and knows neither backends nor
// upgrades: whether a route whose Pattern matches serves the request is the
// caller's to decide, who may ask for the next one.
//
// A Table and a Target are immutable and shared by all loops. A Subject is
// the scratch memory of one loop.
package route
