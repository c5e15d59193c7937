package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wsplice/bench/load"
	"wsplice/internal/testutil"
)

func TestConfigurationsNameEveryPort(t *testing.T) {
	for _, p := range peers("bin/wsplice") {
		if p.config == nil {
			continue
		}
		for _, backends := range [][]int{{20002}, {20002, 20003, 20004}} {
			text := p.config(place{port: 20001, backendPorts: backends})
			for _, port := range append([]int{20001}, backends...) {
				if !strings.Contains(text, fmt.Sprint(port)) {
					t.Errorf("%s lacks port %d:\n%s", p.name, port, text)
				}
			}
		}
	}
}

// TestVariantsDifferByOneSetting wants the product as it comes to be just that.
func TestVariantsDifferByOneSetting(t *testing.T) {
	where := place{port: 20001, backendPorts: []int{20002}}
	settings := map[string]string{
		"wsplice": "", "wsplice-epoll": "engine: epoll\n", "wsplice-io_uring": "engine: io_uring\n",
		"wsplice-async-off":     "tunnel: {async: off}\n",
		"wsplice-frames-off":    "tunnel: {frames: off}\n",
		"wsplice-frames-always": "tunnel: {frames: always}\n",
	}
	found := 0
	for _, p := range peers("bin/wsplice") {
		if !strings.HasPrefix(p.name, "wsplice") {
			continue
		}
		found++
		setting, known := settings[p.name]
		if text := p.config(where); !known || text != setting+wspliceConfig(where, "") {
			t.Errorf("%s: %s", p.name, text)
		}
	}
	plain := wspliceConfig(where, "")
	for _, key := range []string{"engine", "tunnel:", "async", "frames"} {
		if strings.Contains(plain, key) {
			t.Errorf("%s is not left to the product:\n%s", key, plain)
		}
	}
	if found != len(settings) {
		t.Errorf("%d variants, want %d", found, len(settings))
	}
}

func TestMetricsAreServedWhereMemoryIsNotMeasured(t *testing.T) {
	ours, err := choosePeers([]string{"wsplice", "nginx"}, peers("bin/wsplice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		peer *peer
		load load.Scenario
		want bool
	}{
		{ours[0], load.Echo, true},
		{ours[0], load.Idle, false},
		{ours[1], load.Echo, false},
	} {
		var where place
		if err := test.peer.takePorts(&where, &scenario{load: test.load}); err != nil {
			t.Fatal(err)
		}
		if where.port == 0 || where.adminPort == where.port || (where.adminPort != 0) != test.want {
			t.Errorf("%s, %s: ports %d and %d", test.peer.name, test.load, where.port, where.adminPort)
		}
	}
}

// TestProgramsAcceptTheirConfigurations asks each installed proxy itself.
func TestProgramsAcceptTheirConfigurations(t *testing.T) {
	places := map[string]place{
		"echo":  {backendPorts: []int{20002}, messageBytes: 128, tunnels: 1000},
		"large": {backendPorts: []int{20002}, messageBytes: 64 << 10, tunnels: 4000},
		"bulk":  {backendPorts: []int{20002}, messageBytes: 16 << 10, tunnels: 4, bulk: true},
		"churn": {backendPorts: []int{20002, 20003, 20004}, messageBytes: 128, tunnels: 50},
	}
	program := builtWsplice(t)
	secure, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(peers(program), endpointPeers(program), warmPeers(program), overTLS(securePeers(program))) {
		if p.check == nil || p.optional {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			path, err := p.find()
			if err != nil {
				testutil.Missing(t, "%v", err)
			}
			for name, where := range places {
				where.dir, where.port, where.adminPort = t.TempDir(), 20001, 20009
				if err := secure.write(where.dir); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(where.dir, "proxy.conf")
				if err := os.WriteFile(file, []byte(p.config(where)), 0o644); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(mustContext(t), path, p.check(file)...)
				cmd.Dir, cmd.Env = where.dir, append(os.Environ(), "HOME="+where.dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s\n%s", name, err, out, p.config(where))
				}
			}
		})
	}
}

func TestWhoCannotHoldTheTunnelsIsLeftOut(t *testing.T) {
	for name, means := range map[string]string{"apache": "thread", "wsplice-async-off": "descriptors"} {
		found, err := choosePeers([]string{name}, peers("bin/wsplice"))
		if err != nil {
			t.Fatal(err)
		}
		for tunnels, out := range map[int]bool{100: false, 4000: false, 9000: true} {
			why := found[0].cannot(&scenario{load: load.Echo, tunnels: tunnels})
			if (why != "") != out || out && !strings.Contains(why, means) {
				t.Errorf("%s with %d tunnels: %q", name, tunnels, why)
			}
		}
	}
}
