package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// A reader that takes nothing stops neither Write nor Close; what was dropped
// is counted and said.
func TestLineWriterNeverBlocks(t *testing.T) {
	reader, writer := io.Pipe()
	w := newLineWriter(writer)
	for i := range 2 * logLinesMax {
		fmt.Fprintf(w, "line %d\n", i)
	}
	if dropped := w.dropped.Load(); dropped < logLinesMax-2 || dropped > logLinesMax {
		t.Errorf("%d lines dropped of %d", dropped, 2*logLinesMax)
	}
	begin := time.Now()
	w.Close()
	if took := time.Since(begin); took > 5*logFlushMax {
		t.Errorf("Close took %v", took)
	}
	go func() { <-w.done; writer.Close() }()
	all, err := io.ReadAll(reader)
	if err != nil || !strings.HasPrefix(string(all), "line 0\n") || !bytes.Contains(all, []byte("log lines dropped here")) {
		t.Errorf("%d bytes read, %v", len(all), err)
	}
}

func TestLineWriterKeepsOrderAndFlushes(t *testing.T) {
	var out bytes.Buffer
	w := newLineWriter(&out)
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(w, "line %d\n", i)
		fmt.Fprintf(&want, "line %d\n", i)
	}
	w.Close()
	if out.String() != want.String() {
		t.Errorf("got %q", out.String())
	}
	if n, err := w.Write([]byte("late")); n != 4 || err != nil || w.dropped.Load() != 1 {
		t.Errorf("a late line: %d, %v", n, err)
	}
}
