package rig

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Line is one line of the log, decoded.
type Line map[string]any

// Msg returns the message of the line.
func (l Line) Msg() string { return l.Text("msg") }

// Text returns an attribute that is a string, or "".
func (l Line) Text(key string) string {
	s, _ := l[key].(string)
	return s
}

// Number returns an attribute that is a number, or -1.
func (l Line) Number(key string) float64 {
	n, ok := l[key].(float64)
	if !ok {
		return -1
	}
	return n
}

// Logs collects what a process writes to stderr.
type Logs struct {
	gate sync.Mutex // held while nobody shall read stderr

	mu      sync.Mutex // protects the fields below
	lines   []Line
	raw     []string
	strange []string      // lines of neither format
	changed chan struct{} // closed and replaced when a line arrives
	ended   bool
}

func newLogs() *Logs { return &Logs{changed: make(chan struct{})} }

// collect reads until stderr is closed at every writer.
func (l *Logs) collect(stderr io.Reader) {
	r := bufio.NewReader(stderr)
	for {
		l.passGate()
		text, err := r.ReadString('\n')
		l.add(strings.TrimSuffix(text, "\n"), err != nil)
		if err != nil {
			return
		}
	}
}

func (l *Logs) add(text string, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = ended
	if text != "" {
		l.raw = append(l.raw, text)
		if line := parseLine(text); line != nil {
			l.lines = append(l.lines, line)
		} else {
			l.strange = append(l.strange, text)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// textLine is a whole line of slog's text format: time first, then pairs.
var (
	textLine = regexp.MustCompile(`^time=\S+ level=[A-Z]+ msg=("(?:[^"\\]|\\.)*"|\S*)( [^ ="]+=("(?:[^"\\]|\\.)*"|[^ "]*))*$`)
	textPair = regexp.MustCompile(`([^ ="]+)=("(?:[^"\\]|\\.)*"|[^ "]*)`)
)

// parseLine decodes a line of either format, or returns nil.
func parseLine(text string) Line {
	var line Line
	if json.Unmarshal([]byte(text), &line) == nil {
		return line
	}
	if !textLine.MatchString(text) {
		return nil
	}
	line = Line{}
	for _, pair := range textPair.FindAllStringSubmatch(text, -1) {
		value := pair[2]
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		line[pair[1]] = value
	}
	return line
}

// Stall stops reading stderr until Resume, as a stuck log collector would.
func (l *Logs) Stall() { l.gate.Lock() }

// Resume reads stderr again.
func (l *Logs) Resume() { l.gate.Unlock() }

// Mark returns the position after the last line, to wait for later ones only.
func (l *Logs) Mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// Since returns the lines from mark on.
func (l *Logs) Since(mark int) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Line(nil), l.lines[mark:]...)
}

// Strange returns the lines of neither log format: a crash report, or a log line
// that something broke in two.
func (l *Logs) Strange() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.strange...)
}

// Tail returns the last n lines as they were written.
func (l *Logs) Tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.raw[max(0, len(l.raw)-n):], "\n")
}

// Wait returns the first line from mark on that match accepts. It reports
// false when the deadline passed or stderr was closed before.
func (l *Logs) Wait(mark int, limit time.Duration, match func(Line) bool) (Line, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		l.mu.Lock()
		for ; mark < len(l.lines); mark++ {
			if match(l.lines[mark]) {
				defer l.mu.Unlock()
				return l.lines[mark], true
			}
		}
		changed, ended := l.changed, l.ended
		l.mu.Unlock()
		if ended {
			return nil, false
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, false
		}
	}
}

// passGate waits while somebody holds the gate.
func (l *Logs) passGate() {
	l.gate.Lock()
	defer l.gate.Unlock()
}
