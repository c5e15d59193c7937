package admin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

func start(t *testing.T, c Config) *Server {
	t.Helper()
	c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if c.Source == nil {
		c.Source = func() Figures { return Figures{} }
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve() }()
	t.Cleanup(func() { s.Close(); <-served })
	return s
}

// get asks the server, without keeping the connection.
func get(t *testing.T, s *Server, path, token string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if unixPath, ok := strings.CutPrefix(s.Address(), "unix:"); ok {
				return net.Dial("unix", unixPath)
			}
			return net.Dial("tcp", s.Address())
		},
	}}
	request, err := http.NewRequest(http.MethodGet, "http://admin"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestMetrics(t *testing.T) {
	s := start(t, Config{Network: "tcp", Address: "127.0.0.1:0", Source: func() Figures {
		return Figures{
			TunnelsOpen: 3, TunnelsOpened: 10, DescriptorsLeft: 99, Splices: 4, Blind: 2,
			WarmIdle: 30, WarmTaken: 31, WarmDead: 32,
			Refusals:  map[string]uint64{"bad_key": 7},
			HTTP:      map[string]uint64{"2xx": 8, "none": 0},
			Bytes:     []LaneBytes{{"up", "copy", 11}, {"down", "splice", 12}},
			LoopTicks: []uint64{5, 6},
			Servers: []ServerFigures{
				{Upstream: "chat", Server: "10.0.0.1:9000", Up: true, Open: 21, Picks: 22, Failures: 23},
				{Upstream: "chat", Server: "unix:/run/x"},
			},
			Health: []ServerHealth{
				{Upstream: "u", Server: "a:1", Healthy: true, Passed: 20, Failed: 21, Skipped: 22},
				{Upstream: "u", Server: "a:2"},
			},
			Spawned: []SpawnedFigures{{Upstream: "u", Command: "/bin/x", Running: 40, Starts: 41, Deaths: 42, Failures: 43}},
		}
	}})
	status, body := get(t, s, "/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{
		"wsplice_tunnels_open 3", "wsplice_tunnels_opened_total 10", "wsplice_descriptors_left 99",
		"wsplice_splices_total 4", "wsplice_blind_total 2", `wsplice_refusals_total{reason="bad_key"} 7`,
		`wsplice_http_requests_total{code="2xx"} 8`, `wsplice_http_requests_total{code="none"} 0`,
		`wsplice_relayed_bytes_total{direction="up",lane="copy"} 11`,
		`wsplice_relayed_bytes_total{direction="down",lane="splice"} 12`,
		`wsplice_upstream_server_up{server="10.0.0.1:9000",upstream="chat"} 1`,
		`wsplice_upstream_server_up{server="unix:/run/x",upstream="chat"} 0`,
		`wsplice_upstream_server_open{server="10.0.0.1:9000",upstream="chat"} 21`,
		`wsplice_upstream_server_picks_total{server="10.0.0.1:9000",upstream="chat"} 22`,
		`wsplice_upstream_server_failures_total{server="10.0.0.1:9000",upstream="chat"} 23`,
		`wsplice_loop_ticks_total{loop="1"} 6`, `wsplice_upstream_server_healthy{server="a:1",upstream="u"} 1`,
		`wsplice_upstream_server_healthy{server="a:2",upstream="u"} 0`,
		"wsplice_warm_connections 30", "wsplice_warm_taken_total 31", "wsplice_warm_dead_total 32",
		`wsplice_spawned_processes{command="/bin/x",upstream="u"} 40`,
		`wsplice_spawned_starts_total{command="/bin/x",upstream="u"} 41`,
		`wsplice_spawned_deaths_total{command="/bin/x",upstream="u"} 42`,
		`wsplice_spawned_start_failures_total{command="/bin/x",upstream="u"} 43`,
		`wsplice_health_checks_total{result="passed",server="a:1",upstream="u"} 20`,
		`wsplice_health_checks_total{result="failed",server="a:1",upstream="u"} 21`,
		`wsplice_health_checks_total{result="skipped",server="a:1",upstream="u"} 22`, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

func TestHealthAndUnknownPaths(t *testing.T) {
	s := start(t, Config{Network: "tcp", Address: "127.0.0.1:0"})
	if status, body := get(t, s, "/healthz", ""); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if status, _ := get(t, s, "/", ""); status != http.StatusNotFound {
		t.Errorf("/: %d, want 404", status)
	}
}

// With a token everything that tells something asks for it.
func TestToken(t *testing.T) {
	s := start(t, Config{Network: "tcp", Address: "127.0.0.1:0", Token: "secret"})
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/metrics", "", 401},
		{"/metrics", "wrong", 401},
		{"/metrics", "secret2", 401},
		{"/metrics", "secret", 200},
		{"/nothing", "", 401},
		{"/healthz", "", 200},
	} {
		if status, _ := get(t, s, c.path, c.token); status != c.want {
			t.Errorf("%s with token %q: %d, want %d", c.path, c.token, status, c.want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/admin.sock"
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if _, err := New(Config{Network: "unix", Address: path}); err == nil {
		t.Error("a socket that is served was taken over")
	}
	left.Close() // stale now
	s := start(t, Config{Network: "unix", Address: path})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v; want %v", info.Mode(), err, socketMode)
	}
	if status, _ := get(t, s, "/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz over the socket: %d", status)
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t, Config{Network: "tcp", Address: "127.0.0.1:0"})
	_, err := New(Config{Network: "tcp", Address: s.Address()})
	if err == nil || !strings.Contains(err.Error(), "set admin.address") {
		t.Errorf("error %v does not say what to do", err)
	}
}
