package main

import (
	"io"
	"log/slog"

	"wsplice/configs"
)

// newLogger writes to out as the configuration wants it.
func newLogger(c configs.Log, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
