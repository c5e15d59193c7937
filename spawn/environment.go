package spawn

import (
	"slices"
	"strings"
)

// A Variable is one of the environment.
type Variable struct{ Name, Value string }

// announced are the variables that tell a process of sockets which are not for
// its children (sd_listen_fds(3)).
var announced = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// Environment returns the environment of a process, as "NAME=value": of own,
// which is of the same form, those variables that copied names, or all where
// copied is nil, and set over them.
func Environment(own, copied []string, set []Variable) []string {
	env := []string{}
	for _, variable := range own {
		name, _, _ := strings.Cut(variable, "=")
		again := slices.ContainsFunc(set, func(v Variable) bool { return v.Name == name })
		if again || slices.Contains(announced, name) || copied != nil && !slices.Contains(copied, name) {
			continue
		}
		env = append(env, variable)
	}
	for _, v := range set {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}
