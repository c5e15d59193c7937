package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// binaryPath is the wsplice under test, set once by Build.
var binaryPath string

// Build makes the binary under test available to Start and Run.
//
// WSPLICE_BIN names a ready one; otherwise the parent module is built into a
// temporary directory, with the race detector when WSPLICE_RACE is 1. A build
// each time is cheap (Go caches it) and can never be stale.
//
// The returned function removes what was built.
func Build() (cleanup func(), err error) {
	if bin := os.Getenv("WSPLICE_BIN"); bin != "" {
		binaryPath, err = filepath.Abs(bin)
		return func() {}, err
	}
	dir, err := os.MkdirTemp("", "wsplice-bin-")
	if err != nil {
		return func() {}, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	// Tests run the binary as another user too, who must reach it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return cleanup, err
	}
	args := []string{"build", "-o", filepath.Join(dir, "wsplice")}
	if os.Getenv("WSPLICE_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/wsplice")...)
	cmd.Dir = ".." // tests run in e2e/
	if out, err := cmd.CombinedOutput(); err != nil {
		return cleanup, fmt.Errorf("build wsplice: %w\n%s", err, out)
	}
	binaryPath = filepath.Join(dir, "wsplice")
	return cleanup, nil
}

// Binary returns the path of the binary under test.
func Binary() (string, error) {
	if binaryPath == "" {
		return "", errors.New("no wsplice binary: rig.Build was not called or failed")
	}
	return binaryPath, nil
}
