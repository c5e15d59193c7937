package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"wsplice/e2e/internal/rig"
)

// spawnedArgument makes this binary a backend that wsplice starts itself. It is
// an argument, because the environment is what some of the tests are about.
const spawnedArgument = "spawned"

// playSpawned serves tunnels on the socket that it was given, and answers their
// lines, until it is ended. The words say how it behaves otherwise.
func playSpawned(words []string) {
	socket := os.Stdin
	for _, word := range words {
		switch word {
		case "sleep":
			select {}
		case "ignore-term":
			signal.Ignore(syscall.SIGTERM)
		case "activated":
			if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
				die("LISTEN_PID is %q", os.Getenv("LISTEN_PID"))
			}
			socket = os.NewFile(3, "activated")
		case "deaf":
			fmt.Println("deaf") // so that the test knows that nobody will accept
			select {}
		}
	}
	listener, err := net.FileListener(socket)
	if err != nil {
		die("the socket: %v", err)
	}
	if slices.Contains(words, "report-usr1") {
		usr1 := make(chan os.Signal, 1)
		signal.Notify(usr1, syscall.SIGUSR1)
		go func() {
			<-usr1
			die("ended by SIGUSR1")
		}()
	}
	fmt.Println("listening")
	for {
		c, err := listener.Accept()
		if err != nil {
			die("accept: %v", err)
		}
		go serveSpawned(c)
	}
}

func die(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(7)
}

// serveSpawned opens a tunnel and answers each of its lines with one.
func serveSpawned(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if _, err := fmt.Fprint(c, rig.SwitchingProtocols(request.Header.Get("Sec-WebSocket-Key"))); err != nil {
		return
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if _, err := fmt.Fprintln(c, spawnedAnswer(lines.Text())); err != nil {
			return
		}
	}
}

func spawnedAnswer(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "pid":
		return strconv.Itoa(os.Getpid())
	case "env":
		if value, ok := os.LookupEnv(rest); ok {
			return "=" + value
		}
		return "unset"
	case "environment":
		names := []string{}
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	case "dir":
		dir, _ := os.Getwd()
		return dir
	case "fork":
		child := exec.Command(os.Args[0], spawnedArgument, "ignore-term", "sleep")
		if err := child.Start(); err != nil {
			return err.Error()
		}
		return strconv.Itoa(child.Process.Pid)
	}
	return "what?"
}
