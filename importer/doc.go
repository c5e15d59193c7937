// Package importer turns configurations of other servers into that of wsplice.
//
// A reader of one format (apache*.go) fills a Document: the parts of a
// configuration with the place in the source that each came from, and a Note
// for everything that has no counterpart. What is common to all formats stands
// in document.go, render.go, yaml.go and report.go.
//
// The package reads files and writes nothing; it knows the keys of the
// configuration by their contract and not by package configs, which judges the
// result in cmd/wsplice.
package importer
