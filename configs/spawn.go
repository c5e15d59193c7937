package configs

import (
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Spawn is a command that wsplice runs as a server, in MinProcs to MaxProcs
// processes. Process i listens on the server's port plus i, or on its socket
// with "-i" behind the path; where the server has no address, on a socket in a
// private directory.
type Spawn struct {
	Command []string // the first is the absolute path of an executable file; the others are its arguments

	// How many processes.
	MinProcs    int           // 0 = none before the first client; default 1
	MaxProcs    int           // at least 1 and MinProcs; default 4
	MaxLoad     int           // open tunnels of each process above which one more starts; default 1
	IdleTimeout time.Duration // without a tunnel, until a process more than MinProcs ends; 0 = never; default 60s

	// What they are started with.
	Environment      []Variable // set, in the order of the file
	CopyEnvironment  []string   // names of what they get of wsplice's own; nil (default) = all
	ListenBacklog    int        // connections that may wait; default 1024
	SocketActivation string     // "off" (default), or "systemd": announced in LISTEN_FDS

	KillSignal syscall.Signal // asks a process to end; default SIGTERM
}

// A Variable is one of a process's environment.
type Variable struct{ Name, Value string }

func defaultSpawn() Spawn {
	return Spawn{
		MinProcs: 1, MaxProcs: 4, MaxLoad: 1, IdleTimeout: time.Minute,
		ListenBacklog: 1024, SocketActivation: "off", KillSignal: syscall.SIGTERM,
	}
}

var killSignals = map[string]syscall.Signal{
	"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGHUP": syscall.SIGHUP, "SIGQUIT": syscall.SIGQUIT,
	"SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2, "SIGWINCH": syscall.SIGWINCH, "SIGKILL": syscall.SIGKILL,
}

// spawn returns the keys of a server that wsplice starts itself.
func (d *decoder) spawn(to *Spawn) map[string]decode {
	return map[string]decode{
		"command":           func(n *node) { d.command(n, &to.Command) },
		"min_procs":         d.number(&to.MinProcs, 0, serversMax),
		"max_procs":         d.number(&to.MaxProcs, 1, serversMax),
		"max_load_per_proc": d.number(&to.MaxLoad, 1, loadMax),
		"idle_timeout":      d.duration(&to.IdleTimeout, 0, durationMax, time.Nanosecond),
		"environment":       func(n *node) { d.environment(n, &to.Environment) },
		"copy_environment":  func(n *node) { d.copyEnvironment(n, &to.CopyEnvironment) },
		"listen_backlog":    d.number(&to.ListenBacklog, 1, backlogMax),
		"socket_activation": d.enum(&to.SocketActivation, []string{"systemd", "off"}),
		"kill_signal": func(n *node) {
			var name string
			d.enum(&name, slices.Sorted(maps.Keys(killSignals)))(n)
			if signal, ok := killSignals[name]; ok {
				to.KillSignal = signal
			}
		},
	}
}

// command reads a program and its arguments. Nothing splits or expands them.
func (d *decoder) command(n *node, to *[]string) {
	ok := d.list(n, argumentsMax, func(n *node) {
		s, ok := d.argument(n)
		if ok && n.label == "0" {
			s, ok = d.program(n, s)
		}
		if ok {
			*to = append(*to, s)
		}
	})
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; write [/path/of/program, argument]")
	}
}

// argument returns text that may be empty where it is quoted.
func (d *decoder) argument(n *node) (string, bool) {
	if n.kind == quotedNode && n.text == "" {
		return "", true
	}
	s, ok := d.text(n)
	if ok && len(s) > variableBytesMax {
		d.wrong(n, "has %d bytes; at most %d are allowed", len(s), variableBytesMax)
		return "", false
	}
	return s, ok
}

// program returns the absolute path of an executable file. There is no search
// in PATH: it would depend on who starts wsplice.
func (d *decoder) program(n *node, s string) (string, bool) {
	if !strings.Contains(s, "/") {
		fix := "/path/of/" + s
		if found, err := exec.LookPath(s); err == nil && s != "" {
			fix = found
		}
		d.wrong(n, "%s is no path, and PATH is not searched; write %s", quote(s), fix)
		return "", false
	}
	path, err := filepath.Abs(d.resolve(s))
	if err != nil {
		d.wrong(n, "%v", err)
		return "", false
	}
	info, err := os.Stat(path)
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed):
		d.wrong(n, "cannot find %s: %v", quote(path), failed.Err)
	case !info.Mode().IsRegular():
		d.wrong(n, "%s is not a file", quote(path))
	case info.Mode().Perm()&0o111 == 0:
		d.wrong(n, "%s is not executable; allow it with chmod +x", quote(path))
	default:
		return path, true
	}
	return "", false
}

func (d *decoder) environment(n *node, to *[]Variable) {
	if !d.named(n, "names to values", variablesMax) {
		return
	}
	for _, e := range n.entries {
		if !validVariable(e.key) {
			d.errorAt(e.pos, "%s: %s is no name of a variable; it must not have spaces or =", n.path(), quote(e.key))
		} else if value, ok := d.argument(e.value); ok {
			*to = append(*to, Variable{Name: e.key, Value: value})
		}
	}
}

func (d *decoder) copyEnvironment(n *node, to *[]string) {
	*to = []string{}
	d.list(n, variablesMax, func(n *node) {
		s, ok := d.text(n)
		if ok && !validVariable(s) {
			d.wrong(n, "%s is no name of a variable; it must not have spaces or =", quote(s))
			return
		}
		if ok {
			*to = append(*to, s)
		}
	})
}

func validVariable(name string) bool {
	return name != "" && len(name) <= nameBytesMax && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == '=' || r >= 0x7f
	})
}

// checkSpawn holds that the keys of a server fit together.
func (d *decoder) checkSpawn(n *node, s *Server) {
	if least := n.get("min_procs"); least != nil && s.Spawn.MinProcs > s.Spawn.MaxProcs {
		d.wrong(least, "is more than max_procs, which is %d; raise that", s.Spawn.MaxProcs)
	}
	last := s.Spawn.MaxProcs - 1
	switch s.Target.Network {
	case "unix":
		if path := s.Target.Address + "-" + strconv.Itoa(last); len(path) > socketPathBytesMax {
			d.wrong(n.get("socket"), "the last process has the path %s of %d bytes; the kernel takes at most %d",
				quote(path), len(path), socketPathBytesMax)
		}
	case "tcp":
		_, text, _ := net.SplitHostPort(s.Target.Address) // parseTarget made it
		if port, _ := strconv.Atoi(text); port+last > 65535 {
			d.wrong(n.get("url"), "process %d would have port %d; choose a lower one", last, port+last)
		}
	}
}

// checkProcesses holds that the servers of an upstream are not too many when all
// their processes run.
func (d *decoder) checkProcesses(n *node, servers []Server) {
	sum := 0
	for _, s := range servers {
		if s.Spawn == nil {
			sum++
		} else {
			sum += s.Spawn.MaxProcs
		}
	}
	if sum > serversMax && len(servers) <= serversMax {
		d.wrong(n, "may have %d processes and other servers; at most %d are allowed, so lower max_procs", sum, serversMax)
	}
}
