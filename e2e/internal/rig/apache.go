package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	apachePath    = "/usr/sbin/apache2"
	apacheModules = "/usr/lib/apache2/modules"
)

// HasApache reports whether Debian's Apache httpd is installed, which
// bench/install-peers does.
func HasApache() bool {
	_, err := os.Stat(apachePath)
	return err == nil
}

// apacheLoads are the modules that configurations before a WebSocket
// application use; log_config, version and watchdog are built in.
var apacheLoads = []string{
	"mpm_event", "authn_core", "authn_file", "auth_basic", "authz_core", "authz_host", "authz_user", "access_compat",
	"alias", "dir", "env", "headers", "setenvif", "autoindex", "negotiation", "reqtimeout", "remoteip", "rewrite",
	"slotmem_shm", "proxy", "proxy_http", "proxy_wstunnel", "proxy_balancer", "proxy_hcheck",
	"lbmethod_byrequests", "lbmethod_bybusyness", "lbmethod_bytraffic",
}

// Apache starts Apache httpd with a configuration, which says where to listen,
// and returns when it answers at address. Paths of its own are in a directory
// of the test; the end of the test ends it.
func Apache(t testing.TB, conf, address string) {
	t.Helper()
	dir := TempDir(t, 0)
	var b strings.Builder
	fmt.Fprintf(&b, "ServerRoot %[1]s\nPidFile %[1]s/pid\nErrorLog %[1]s/error.log\nDefaultRuntimeDir %[1]s\n"+
		"Mutex pthread\nDocumentRoot %[1]s/empty\nServerName localhost\nDefine APACHE_LOG_DIR %[1]s\n", dir)
	for _, name := range apacheLoads {
		fmt.Fprintf(&b, "LoadModule %[1]s_module %[2]s/mod_%[1]s.so\n", name, apacheModules)
	}
	b.WriteString("LogFormat \"%h %t %r %>s\" common\nLogFormat \"%h %t %r %>s\" combined\n")
	if os.Getuid() == 0 {
		b.WriteString("User www-data\nGroup www-data\n")
	}
	file := filepath.Join(dir, "httpd.conf")
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()+conf), 0o644); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "error.log")
	command := exec.Command(apachePath, "-f", file, "-D", "FOREGROUND")
	Serve(t, command, func() bool { return answers(address) }, func() string {
		text, _ := os.ReadFile(log)
		return string(text) + "\n" + conf
	})
}
