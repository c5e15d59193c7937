package main

import (
	"errors"

	"wsplice/configs"
	"wsplice/proxy"
)

// A positionError is a failure that a line of the configuration asked for,
// such as a port in use: its text begins FILE:LINE:COLUMN.
type positionError struct {
	pos configs.Pos
	err error
}

func (e *positionError) Error() string { return e.pos.String() + ": " + e.err.Error() }

func (e *positionError) Unwrap() error { return e.err }

// at says which line err is about. A key that stands in no file has none.
func at(pos configs.Pos, err error) error {
	if pos == (configs.Pos{}) {
		return err
	}
	return &positionError{pos: pos, err: err}
}

// atListener says which listener a failure of the proxy is about.
func atListener(c *configs.Config, err error) error {
	var failed *proxy.ListenError
	if errors.As(err, &failed) {
		return at(c.Listeners[failed.Index].Pos, err)
	}
	return err
}
