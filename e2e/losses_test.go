package e2e

import (
	"fmt"
	"testing"

	"wsplice/e2e/internal/rig"
)

// disturbances is how often servers are killed, and how often they stop to
// listen, at disturbedServers servers beside one that stays.
const (
	disturbances     = 1000
	disturbedServers = 4
)

// lossConfig has both upstreams. A server that failed is tried again soon.
func lossConfig(balance string, addresses []string) rig.Config {
	cfg := rig.Config{
		Warned: true, LogTunnel: "off",
		Routes: "- {path: /tunnels, upstream: tunnels}\n" +
			"- {path: /endpoints, upstream: endpoints, mode: endpoint, frame_type: binary}",
	}
	for i, scheme := range []string{"ws", "tcp"} {
		cfg.Upstreams += fmt.Sprintf("  %s:\n    disable_time: 20ms\n    balance: %s\n    servers:\n", lossUpstreams[i], balance)
		for _, address := range addresses {
			cfg.Upstreams += fmt.Sprintf("      - {url: \"%s://%s\"}\n", scheme, address)
		}
	}
	return cfg
}

func disturbancesEach() int {
	if testing.Short() {
		return disturbances / disturbedServers / 10
	}
	return disturbances / disturbedServers
}

// TestAThousandKills kills processes with SIGKILL, each when it has tunnels and a
// thousand times in all, and starts them again: no tunnel of another process is
// lost, no handshake fails for want of a server, and open counts are exact.
func TestAThousandKills(t *testing.T) {
	needsWsplice(t)
	stays := &door{life: &life{name: "stays", address: "127.0.0.1:0"}}
	if err := stays.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stays.close)
	addresses := []string{stays.address}
	for range disturbedServers {
		addresses = append(addresses, away(t))
	}
	l := newLosses(rig.Start(t, lossConfig("least_connection", addresses)))
	l.lives.Store(stays.name, stays.life)
	l.load()
	errs := make(chan error, disturbedServers)
	for i, address := range addresses[1:] {
		go func() { errs <- l.killAgainAndAgain(t, fmt.Sprint("mortal ", i), address) }()
	}
	for range disturbedServers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	l.settle(t, addresses...)
	t.Logf("%d kills met %d tunnels of %d, and %d requests", l.over.Load(), l.cut.Load(), l.opened.Load(), l.late.Load())
	if kills := int64(disturbedServers * disturbancesEach()); l.over.Load() != kills || l.cut.Load() < kills {
		t.Errorf("%d kills met %d tunnels, want %d kills, each of which meets some", l.over.Load(), l.cut.Load(), kills)
	}
}

// killAgainAndAgain has a server live many times. The last life goes on.
func (l *losses) killAgainAndAgain(t *testing.T, name, address string) error {
	for i := range disturbancesEach() + 1 {
		own := &life{name: fmt.Sprintf("%s life %d", name, i), address: address}
		l.lives.Store(own.name, own)
		if err := own.start(); err != nil {
			return err
		}
		t.Cleanup(own.kill)
		if err := l.await(own.name+" is used", func() bool { return own.met.Load() >= 3 }); err != nil {
			return err
		}
		if i < disturbancesEach() {
			l.begun.Add(1)
			own.kill()
			l.over.Add(1)
		}
	}
	return nil
}

// TestAThousandListenerCloses closes and reopens the listening sockets of servers,
// each when its absence was noticed and a thousand times in all: no tunnel is
// lost, since all are with servers that live.
func TestAThousandListenerCloses(t *testing.T) {
	needsWsplice(t)
	var doors []*door
	var addresses []string
	for i := range disturbedServers + 1 {
		d := &door{life: &life{name: fmt.Sprint("door ", i), address: away(t)}}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.close)
		doors, addresses = append(doors, d), append(addresses, d.address)
	}
	l := newLosses(rig.Start(t, lossConfig("round_robin", addresses)))
	for _, d := range doors {
		l.lives.Store(d.name, d.life)
	}
	l.load()
	errs := make(chan error, disturbedServers)
	for _, d := range doors[1:] {
		go func() { errs <- l.closeAgainAndAgain(d) }()
	}
	for range disturbedServers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	failures := l.proxy.Metrics().Sum("wsplice_upstream_server_failures_total")
	l.settle(t, addresses...)
	t.Logf("%d closes met %v picks and %d requests; %d tunnels", l.over.Load(), failures, l.late.Load(), l.opened.Load())
	if closes := int64(disturbedServers * disturbancesEach()); l.over.Load() != closes || int64(failures) < closes {
		t.Errorf("%d closes met %v picks, want %d closes, each of which meets one", l.over.Load(), failures, closes)
	}
}

// closeAgainAndAgain has a server stop to listen until it must have been missed,
// and then listen until it is used again.
func (l *losses) closeAgainAndAgain(d *door) error {
	for range disturbancesEach() {
		l.begun.Add(1)
		d.close()
		l.over.Add(1)
		opened := l.opened.Load()
		if err := l.await("others are used", func() bool {
			return l.opened.Load() >= opened+passingOnes+4*disturbedServers
		}); err != nil {
			return err
		}
		met := d.met.Load()
		if err := d.open(); err != nil {
			return err
		}
		if err := l.await(d.name+" is used", func() bool { return d.met.Load() > met }); err != nil {
			return err
		}
	}
	return nil
}
