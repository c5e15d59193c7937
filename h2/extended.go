package h2

import (
	"os"
	"strings"
)

// The library reads GODEBUG when it is initialised, for the whole process
// (go.dev/issue/71128). A process that is to serve extended CONNECT therefore
// executes itself again with this setting.
const (
	settings      = "GODEBUG"
	extendConnect = "http2xconnect=1"
)

// extended is what the library has found, too.
var extended = strings.Contains(os.Getenv(settings), extendConnect)

// Extended reports whether this process serves extended CONNECT, and says so to
// clients (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441 section 3).
func Extended() bool { return extended }

// Environ returns the environment for a process that does.
func Environ() []string {
	value := extendConnect
	if before := os.Getenv(settings); before != "" {
		value = before + "," + extendConnect
	}
	env := os.Environ()
	for i, v := range env {
		if strings.HasPrefix(v, settings+"=") {
			env[i] = settings + "=" + value
			return env
		}
	}
	return append(env, settings+"="+value)
}

// Restore takes the setting out of the environment, which the programs that this
// process starts get.
func Restore() error {
	value, added := strings.CutSuffix(os.Getenv(settings), extendConnect)
	switch {
	case !added:
		return nil
	case value == "":
		return os.Unsetenv(settings)
	}
	return os.Setenv(settings, strings.TrimSuffix(value, ","))
}
