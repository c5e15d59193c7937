package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/configs"
)

const (
	// logLinesMax is how many log lines may wait for a slow stderr; further ones
	// are dropped and counted.
	logLinesMax = 4096

	// logFlushMax bounds the wait for a blocked stderr at the end.
	logFlushMax = time.Second
)

// newLogger writes to out as the configuration wants it.
func newLogger(c configs.Log, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// A lineWriter passes lines on to a writer that may block, without ever
// blocking itself: a terminal that is stopped with Ctrl-S must not stop a
// proxy, nor keep it from ending. Its methods may be called from any
// goroutine.
type lineWriter struct {
	lines   chan []byte
	dropped atomic.Uint64
	done    chan struct{}

	mu     sync.Mutex // guards closed
	closed bool
}

func newLineWriter(out io.Writer) *lineWriter {
	w := &lineWriter{lines: make(chan []byte, logLinesMax), done: make(chan struct{})}
	go w.pass(out)
	return w
}

// Write takes one line. It never fails: what does not fit is counted.
func (w *lineWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		select {
		case w.lines <- append([]byte(nil), line...):
			return len(line), nil
		default:
		}
	}
	w.dropped.Add(1)
	return len(line), nil
}

// pass writes the lines, and says in a line of its own how many are missing.
func (w *lineWriter) pass(out io.Writer) {
	defer close(w.done)
	var reported uint64
	for line := range w.lines {
		_, _ = out.Write(line) // there is nobody to tell
		if dropped := w.dropped.Load(); dropped != reported {
			_, _ = fmt.Fprintf(out, "wsplice: %d log lines dropped here because stderr was blocked\n", dropped-reported)
			reported = dropped
		}
	}
}

// Close writes what is left, for at most logFlushMax.
func (w *lineWriter) Close() {
	w.mu.Lock()
	w.closed = true
	close(w.lines)
	w.mu.Unlock()
	timer := time.NewTimer(logFlushMax)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}
