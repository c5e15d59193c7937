// Package report holds what a comparison of proxies measured, and turns it
// into tables, charts and a verdict on the project's floors.
//
// It measures nothing itself. Every figure it writes is computed from the raw
// samples of one result file.
package report
