package splice

import "github.com/cloudwego/netpoll"

// parking holds the bytes that a slow sink did not take, in buffers of
// netpoll's pool, so that a direction without any holds no memory.
type parking = netpoll.LinkBuffer

// Park keeps a copy of b behind what is parked already. b may be lent.
func (p *Pump) Park(b []byte) {
	if len(b) == 0 {
		return
	}
	if p.parked == nil {
		p.parked = netpoll.NewLinkBuffer(len(b))
	}
	// Malloc and Flush fail only for negative sizes and closed buffers.
	room, _ := p.parked.Malloc(len(b))
	copy(room, b)
	_ = p.parked.Flush()
}

// ParkFirst keeps a copy of b before what is parked already.
func (p *Pump) ParkFirst(b []byte) {
	if len(b) == 0 {
		return
	}
	behind := p.parked
	p.parked = nil
	p.Park(b)
	if behind != nil {
		later, _ := behind.Peek(behind.Len())
		p.Park(later)
		_ = behind.Close()
	}
}

// Parked returns how many bytes are parked.
func (p *Pump) Parked() int {
	if p.parked == nil {
		return 0
	}
	return p.parked.Len()
}

// ParkedBytes returns what is parked, in order, and of more than parkedSendMax
// bytes the first. The memory stays until Unpark.
func (p *Pump) ParkedBytes() []byte {
	b, _ := p.parked.Peek(min(p.parked.Len(), parkedSendMax))
	return b
}

// Unpark forgets the first n parked bytes.
func (p *Pump) Unpark(n int) {
	_ = p.parked.Skip(n)
	if p.parked.Len() == 0 {
		p.releaseParked()
		return
	}
	_ = p.parked.Release() // or a sink that never quite catches up keeps it all
}

func (p *Pump) releaseParked() {
	if p.parked != nil {
		_ = p.parked.Close()
		p.parked = nil
	}
}
