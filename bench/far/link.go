package far

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"wsplice/internal/sys"
)

// A Link is a way to a far address, which is one of this machine.
type Link struct {
	device    *os.File
	near, far netip.Addr
	delay     time.Duration
	running   sync.WaitGroup
}

// A packet is under way until it is due.
type packet struct {
	due  time.Time
	data []byte
}

// Open makes a far address that is delay away, and as long back. It takes
// CAP_NET_ADMIN; the errors are those of sys.OpenTUN. The caller must call Close.
func Open(delay time.Duration) (*Link, error) {
	near, far := addressesOf(os.Getpid())
	device, err := sys.OpenTUN("far%d", near, far)
	if err != nil {
		return nil, fmt.Errorf("far: make a network that is far away: %w", err)
	}
	l := &Link{device: device, near: near, far: far, delay: delay}
	underWay := make(chan packet, underWayMax)
	l.running.Go(func() { l.depart(underWay) })
	l.running.Go(func() { l.arrive(underWay) })
	return l, nil
}

// addressesOf returns two addresses of 198.18.0.0/15, which is set aside for
// benchmarks (RFC 2544 appendix C.2.2). Processes have their own, so that two may
// measure at the same time.
func addressesOf(pid int) (near, far netip.Addr) {
	at := func(n int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 198<<24|18<<16|uint32(n))
		return netip.AddrFrom4(b)
	}
	pair := pid & 0xffff * 2
	return at(pair), at(pair + 1)
}

// Near returns the address to listen on.
func (l *Link) Near() netip.Addr { return l.near }

// Far returns the address that who is to be far from the listener connects to.
func (l *Link) Far() netip.Addr { return l.far }

// Close removes the addresses; what is under way is lost.
func (l *Link) Close() error {
	err := l.device.Close()
	l.running.Wait()
	return err
}

// depart takes what is sent to the far address, until the device is closed, and
// exchanges its addresses: so it comes back as from there. Checksums are sums of
// both and stay right.
func (l *Link) depart(underWay chan<- packet) {
	defer close(underWay)
	buf := make([]byte, packetBytesMax)
	for {
		n, err := l.device.Read(buf)
		if err != nil {
			return
		}
		if n < headerBytesMin || buf[0]>>4 != 4 {
			continue // IPv6 looks for its neighbours
		}
		data := make([]byte, n)
		copy(data, buf[:n])
		copy(data[12:16], buf[16:20])
		copy(data[16:20], buf[12:16])
		underWay <- packet{time.Now().Add(l.delay), data}
	}
}

// arrive lets packets come in when they are due. It sleeps to better than the
// millisecond of Go's timers.
func (l *Link) arrive(underWay <-chan packet) {
	for p := range underWay {
		sys.SleepFor(time.Until(p.due))
		_, _ = l.device.Write(p.data) // what is lost is sent again
	}
}
