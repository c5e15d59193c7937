package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

func TestEachEngineIsNamedOnlyWhereItIsAskedFor(t *testing.T) {
	for _, p := range peers("bin/wsplice") {
		if !strings.HasPrefix(p.name, "wsplice") {
			continue
		}
		text := p.config(place{port: 20001, backendPorts: []int{20002}})
		engine, asked := strings.CutPrefix(p.name, "wsplice-")
		asked = asked && engine != "async-off"
		if asked != strings.Contains(text, "engine: "+engine+"\n") || !asked && strings.Contains(text, "engine:") {
			t.Errorf("%s: %s", p.name, text)
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
	for _, p := range peers(program) {
		if p.check == nil || p.optional {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			path, err := p.find()
			if err != nil {
				testutil.Missing(t, "%v", err)
			}
			for name, where := range places {
				where.dir, where.port = t.TempDir(), 20001
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

func TestApacheIsLeftOutWhereItLacksThreads(t *testing.T) {
	all := peers("bin/wsplice")
	apache, err := choosePeers([]string{"apache"}, all)
	if err != nil {
		t.Fatal(err)
	}
	for tunnels, out := range map[int]bool{100: false, 4000: false, 9000: true} {
		if why := apache[0].cannot(&scenario{load: load.Echo, tunnels: tunnels}); (why != "") != out {
			t.Errorf("%d tunnels: %q", tunnels, why)
		}
	}
}
