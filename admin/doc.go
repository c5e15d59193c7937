// Package admin serves what operators and their monitoring look at: /healthz
// and /metrics.
//
// It is ordinary net/http beside the loops and knows them only as a Source of
// figures, so that nothing it does can hold up a tunnel.
package admin
