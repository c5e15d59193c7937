package e2e

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// Floods are measured in rounds. In each of them the machine is left alone first, then
// cores are busy with nothing, and then there is the flood. The core that the flooder
// takes for itself is not wsplice's fault: elsewhere flooders have machines of their own.
const (
	floodTunnels  = 24
	floodPace     = 3 * time.Millisecond // between the echoes of a tunnel
	floodRounds   = 5
	floodSpell    = 600 * time.Millisecond
	floodAttempts = 3
	// floodSlowerMax is how many times the p99 of echoes during a flood may be what it is
	// where cores are merely busy.
	floodSlowerMax = 2
	// floodMemoryMax bounds what a flood may cost in memory.
	floodMemoryMax = 128 << 20
)

// A flooded is a wsplice with open plain tunnels, and somebody to flood it.
type flooded struct {
	proxy   *rig.Proxy
	tunnels []*rig.Client
	flooder *rig.Helper
	secure  string // address of the listener to flood

	everywhere *rig.Helper // may use every core
}

// startFlooded opens plain tunnels through a listener of their own. The backend is a
// process of its own, and so is the flooder, which has the last core.
func startFlooded(t *testing.T, more string) *flooded {
	t.Helper()
	if runtime.NumCPU() < 2 {
		missing(t, "needs two CPUs: one for the flooder")
	}
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"flood.test"}, nil)
	backend := rig.StartHelper(t, "echo server")
	proxy := rig.Start(t, rig.Config{
		Listeners: []string{"127.0.0.1:0", "127.0.0.1:0"}, ListenerE: []string{"", listenerTLS(authority, more, "server")},
		Routes:    `- {path: /, to: "ws://` + backend.AskToListen() + `/"}`,
		LogTunnel: "off",
	})
	f := &flooded{
		proxy: proxy, secure: proxy.Addr(1),
		flooder: rig.StartHelperOn(t, "flooder", runtime.NumCPU()-1), everywhere: rig.StartHelper(t, "flooder"),
	}
	for i := range floodTunnels {
		f.tunnels = append(f.tunnels, rig.MustOpenEcho(t, proxy, fmt.Sprintf("/ws/%d", i)))
	}
	return f
}

// in returns the same for a sub-test; see rig.Proxy.In.
func (f *flooded) in(t *testing.T) *flooded {
	view := *f
	view.proxy, view.flooder, view.everywhere = f.proxy.In(t), f.flooder.In(t), f.everywhere.In(t)
	return &view
}

// latencies has every tunnel echo until the function returns that is given, and
// returns how long each echo took, in order.
func (f *flooded) latencies(t *testing.T, during func()) []time.Duration {
	t.Helper()
	stop := make(chan struct{})
	took := make([][]time.Duration, len(f.tunnels))
	failed := make([]error, len(f.tunnels))
	var echoes sync.WaitGroup
	for i, c := range f.tunnels {
		echoes.Go(func() { took[i], failed[i] = echoUntil(c, i, stop) })
	}
	during()
	close(stop)
	echoes.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatalf("an open tunnel: %v", err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return all
}

// echoUntil sends 128 bytes again and again and waits for each echo. Its first turn
// depends on i, so that tunnels do not go in step.
func echoUntil(c *rig.Client, i int, stop <-chan struct{}) (took []time.Duration, err error) {
	const size = 128
	rig.Lapse(floodPace * time.Duration(i) / floodTunnels)
	pace := time.NewTicker(floodPace)
	defer pace.Stop()
	sent, got := make([]byte, size), make([]byte, size)
	for round := int64(0); ; round++ {
		select {
		case <-stop:
			return took, nil
		case <-pace.C:
		}
		rig.Pattern(i).Fill(sent, round*size)
		start := time.Now()
		_ = c.SetDeadline(start.Add(rig.Soon))
		if _, err = c.Write(sent); err == nil {
			_, err = io.ReadFull(c, got)
		}
		if err != nil {
			return took, fmt.Errorf("echo %d: %w", round, err)
		}
		took = append(took, time.Since(start))
		if err = rig.Pattern(i).Check(got, round*size); err != nil {
			return took, err
		}
	}
}

func percentile(sorted []time.Duration, p int) time.Duration { return sorted[len(sorted)*p/100] }

func median[T cmp.Ordered](values []T) T {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// A spell is what goes on for a while, and what echoes take meanwhile.
type spell struct {
	name    string
	flooder *rig.Helper // that does it
	p99     []time.Duration
	done    int
}

// measure runs all spells in turns.
func (f *flooded) measure(t *testing.T, spells []*spell) {
	t.Helper()
	for range floodRounds {
		for _, s := range spells {
			all := f.latencies(t, func() {
				s.done += s.flooder.AskNumber(floodSpell+rig.Soon, "%s %s %d", s.name, f.secure, floodSpell.Milliseconds())
			})
			s.p99 = append(s.p99, percentile(all, 99))
		}
	}
}

// wantUndisturbed runs a flood and holds that open tunnels hardly notice: their echoes
// are compared with what they take while reference spins. Other work on the machine
// can spoil a measurement, so there are a few attempts; what wsplice does wrong spoils
// them all.
func (f *flooded) wantUndisturbed(t *testing.T, flood string, reference *rig.Helper) {
	t.Helper()
	start := f.proxy.RSS()
	ratio := 0.0
	for range floodAttempts {
		alone, busy := &spell{name: "idle", flooder: f.flooder}, &spell{name: "spin", flooder: reference}
		during := &spell{name: flood, flooder: f.flooder}
		f.measure(t, []*spell{alone, busy, during})
		if during.done == 0 {
			t.Fatalf("%s: the flooder has got nothing done", flood)
		}
		ratio = float64(median(during.p99)) / float64(median(busy.p99))
		t.Logf("%s: %.0f/s; p99 of an echo: %v alone, %v beside busy cores, %v beside the flood (x%.2f)", flood,
			float64(during.done)/(floodRounds*floodSpell.Seconds()), median(alone.p99), median(busy.p99), median(during.p99), ratio)
		if ratio <= floodSlowerMax {
			break
		}
	}
	if ratio > floodSlowerMax {
		t.Errorf("%s: echoes take %.2f times as long, want at most %d times", flood, ratio, floodSlowerMax)
	}
	growth := f.proxy.RSS() - start
	t.Logf("memory grew by %d KiB", growth>>10)
	if growth > floodMemoryMax {
		t.Errorf("the proxy grew by %d bytes, want at most %d", growth, floodMemoryMax)
	}
	for _, c := range f.tunnels {
		c.WantEcho("still here")
	}
}

// TestFloodOfHandshakes has one core start TLS handshakes as fast as it can: whole
// ones with a key on P-256, and first messages of which nothing follows. That core is
// busy for comparison: what the other one has to do is wsplice's doing.
func TestFloodOfHandshakes(t *testing.T) {
	f := startFlooded(t, "")
	for _, flood := range []string{"handshakes", "hellos"} {
		t.Run(flood, func(t *testing.T) { view := f.in(t); view.wantUndisturbed(t, flood, view.flooder) })
	}
}

// TestFloodOfHTTP2 has one core flood connections of HTTP/2 with requests that come to
// nothing, with header lists that never end, and with frames that mean nothing. All
// cores are busy for comparison: somebody has to look at those frames.
func TestFloodOfHTTP2(t *testing.T) {
	f := startFlooded(t, "")
	for _, flood := range []string{"resets", "continuations", "settings", "pings"} {
		t.Run(flood, func(t *testing.T) { view := f.in(t); view.wantUndisturbed(t, flood, view.everywhere) })
	}
}

// floodWorkers is how many connections a flooder has at a time.
const floodWorkers = 128

// floods are what a flooder can do to an address until stop is closed. Each returns
// how many times it was done.
var floods = map[string]func(address string, stop <-chan struct{}) (int, error){
	"idle":       func(_ string, stop <-chan struct{}) (int, error) { <-stop; return 0, nil },
	"spin":       spin,
	"handshakes": floodHandshakes,
	"hellos":     floodHellos,
	"resets":     floodH2(flooderOfResets), "continuations": floodH2(flooderOfContinuations),
	"settings": floodH2(flooderOfSettings), "pings": floodH2(flooderOfPings),
}

// newFlooderRole obeys "FLOOD ADDRESS MILLISECONDS" and answers with a count.
func newFlooderRole() rig.Role {
	return func(ask string) string {
		var flood, address string
		var ms int
		if !scan(ask, "%s %s %d", &flood, &address, &ms) || floods[flood] == nil {
			return "error: " + ask + "?"
		}
		stop := make(chan struct{})
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { close(stop) })
		n, err := floods[flood](address, stop)
		if err != nil {
			return "error: " + err.Error()
		}
		return fmt.Sprint(n)
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// spin keeps all cores busy that this process may use.
func spin(_ string, stop <-chan struct{}) (n int, err error) {
	var cores sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		cores.Go(func() {
			b := make([]byte, 1<<10)
			for i := 0; !stopped(stop); i++ {
				rig.Pattern(i).Fill(b, 0)
			}
		})
	}
	cores.Wait()
	return 0, nil
}

// floodConnections opens connections again and again, does something on each, and
// resets it, so that it does not keep its port. It returns how often that worked.
func floodConnections(address string, stop <-chan struct{}, do func(net.Conn) error) (int, error) {
	counts, last := make([]int, floodWorkers), make([]error, floodWorkers)
	var workers sync.WaitGroup
	for i := range floodWorkers {
		workers.Go(func() {
			for !stopped(stop) {
				raw, err := net.DialTimeout("tcp", address, rig.Soon)
				if err != nil {
					last[i] = err
					continue
				}
				_ = raw.SetDeadline(time.Now().Add(rig.Soon))
				if err = do(raw); err == nil {
					counts[i]++
				} else if !stopped(stop) {
					last[i] = err
				}
				_ = raw.(*net.TCPConn).SetLinger(0)
				_ = raw.Close()
			}
		})
	}
	workers.Wait()
	n := 0
	for _, c := range counts {
		n += c
	}
	if n == 0 {
		return 0, errors.Join(last...)
	}
	return n, nil
}

// newest is how a flooder asks for a handshake that is dear to the server: with a key
// exchange and a signature, each on P-256.
var newest = &tls.Config{
	InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256},
}

func floodHandshakes(address string, stop <-chan struct{}) (int, error) {
	return floodConnections(address, stop, func(raw net.Conn) error { return tls.Client(raw, newest).Handshake() })
}

// floodHellos sends a ready-made first message, for which wsplice has to do its part
// of the handshake, and the flooder nothing at all.
func floodHellos(address string, stop <-chan struct{}) (int, error) {
	hello, err := clientHello()
	if err != nil {
		return 0, err
	}
	return floodConnections(address, stop, func(raw net.Conn) error {
		if _, err := raw.Write(hello); err != nil {
			return err
		}
		_, err := raw.Read(make([]byte, 1))
		return err
	})
}

// clientHello returns the first message of a handshake.
func clientHello() ([]byte, error) {
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	go func() {
		_ = tls.Client(theirs, newest).Handshake()
		_ = theirs.Close()
	}()
	_ = ours.SetDeadline(time.Now().Add(rig.Soon))
	record := make([]byte, 5)
	if _, err := io.ReadFull(ours, record); err != nil {
		return nil, err
	}
	record = append(record, make([]byte, int(record[3])<<8|int(record[4]))...)
	_, err := io.ReadFull(ours, record[5:])
	return record, err
}
