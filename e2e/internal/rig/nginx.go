package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const nginxPath = "/usr/sbin/nginx"

// Nginx starts nginx as a WebSocket proxy, for trying the tests themselves. It
// returns its address; targets maps a path prefix to a backend's host:port.
func Nginx(t testing.TB, targets map[string]string) string {
	t.Helper()
	if _, err := os.Stat(nginxPath); err != nil {
		t.Skipf("needs %s (Debian package nginx)", nginxPath)
	}
	dir := TempDir(t, 0)
	var locations strings.Builder
	for prefix, backend := range targets {
		fmt.Fprintf(&locations, `
	location %s {
		proxy_pass http://%s/;
		proxy_http_version 1.1;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection "upgrade";
	}`, prefix, backend)
	}
	address := FreeAddress(t)
	conf := fmt.Sprintf(`daemon off;
worker_processes 1;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
	uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen %[2]s; %[3]s
	}
}
`, dir, address, locations.String())
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(nginxPath, "-p", dir, "-e", "stderr", "-c", file)
	Serve(t, command, func() bool { return Listens(address) }, func() string { return conf })
	return address
}
