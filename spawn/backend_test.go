package spawn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// playBackend answers lines on the socket that it was given. The words say how
// it behaves otherwise.
func playBackend(words []string) error {
	socket := os.Stdin
	for _, word := range words {
		switch word {
		case "ignore-hangup":
			signal.Ignore(syscall.SIGHUP)
		case "ignore-all":
			signal.Ignore(syscall.SIGHUP, syscall.SIGTERM)
		case "activated":
			if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
				return fmt.Errorf("LISTEN_PID is %q, LISTEN_FDS %q", os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
			}
			socket = os.NewFile(3, "activated")
		case "sleep":
			select {}
		case "once-only":
			if _, err := os.Stat(os.Getenv("MARK")); err == nil {
				return errors.New("here again")
			}
			if err := os.WriteFile(os.Getenv("MARK"), nil, 0o600); err != nil {
				return err
			}
		}
	}
	l, err := net.FileListener(socket)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(c)
	}
}

func serve(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		_, _ = fmt.Fprintln(c, answer(word, rest))
	}
}

func answer(word, rest string) string {
	switch word {
	case "pid":
		return strconv.Itoa(os.Getpid())
	case "env":
		if value, ok := os.LookupEnv(rest); ok {
			return value
		}
		return "unset"
	case "dir":
		dir, _ := os.Getwd()
		return dir
	case "blocking":
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, 1, syscall.F_GETFL, 0)
		return strconv.FormatBool(errno == 0 && flags&syscall.O_NONBLOCK == 0)
	case "print":
		_, _ = io.WriteString(os.Stdout, rest)
		_, _ = io.WriteString(os.Stderr, "\n")
		return "printed"
	case "fork":
		child := exec.Command(os.Args[0], "backend", "sleep", "ignore-all")
		if err := child.Start(); err != nil {
			return err.Error()
		}
		return strconv.Itoa(child.Process.Pid)
	case "die":
		os.Exit(3)
	}
	return "what?"
}

// playManager runs a manager until it is killed, and says where it is.
func playManager() error {
	m := New(slog.New(slog.DiscardHandler))
	g, err := m.Add(context.Background(), Config{
		Name: "u", Path: os.Args[0], Dir: "/", Args: []string{os.Args[0], "backend"},
		KillSignal: syscall.SIGTERM, Backlog: 16, Min: 2, Max: 2, Load: 1,
	})
	if err != nil {
		return err
	}
	g.Serve([]Backend{&load{}, &load{}})
	if err := m.Start(); err != nil {
		return err
	}
	fmt.Println(m.dir)
	fmt.Println(m.link.child.Pid)
	select {}
}
