package rig

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const lighttpdPath = "/usr/sbin/lighttpd"

// HasLighttpd reports whether Debian's lighttpd is installed, which
// bench/install-peers does.
func HasLighttpd() bool {
	_, err := os.Stat(lighttpdPath)
	return err == nil
}

// Lighttpd starts lighttpd with a configuration, which says where to listen and
// which modules to load, and returns when it answers at address. The end of the
// test ends it.
func Lighttpd(t testing.TB, conf, address string) {
	t.Helper()
	dir := TempDir(t, 0)
	file := filepath.Join(dir, "lighttpd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(lighttpdPath, "-D", "-f", file)
	Serve(t, command, func() bool { return answers(address) }, func() string { return conf })
}
